// Live rows and keys. Everything else works without this file.
"use strict";

const rows = document.querySelector("#rows[data-live-url]");

// --- Live: the server says that something changed; the page asks for its rows again, or, paused, how many are new.
if (rows) {
  const bar = document.querySelector("[data-live]");
  const pause = bar.querySelector("[data-pause]");
  const newer = document.querySelector("#newer");
  let isPaused = false;
  let isAsking = false;
  let hasChanged = false;

  const ask = async () => {
    hasChanged = true;
    if (isAsking) return;
    isAsking = true;
    try {
      while (hasChanged) {
        hasChanged = false;
        if (isPaused) {
          const first = rows.querySelector("[data-key]");
          const url = new URL(rows.dataset.newerUrl, location);
          url.searchParams.set("after", first ? first.dataset.key : "");
          await htmx.ajax("GET", url.pathname + url.search, { target: newer, swap: "innerHTML" });
        } else {
          const url = new URL(rows.dataset.liveUrl, location);
          const shown = rows.querySelector("[data-have]");
          if (shown) url.searchParams.set("have", shown.dataset.have);
          await htmx.ajax("GET", url.pathname + url.search, { target: rows, swap: "innerHTML" });
        }
      }
    } catch {
      // The console does not answer. The page asks again with the next change, or once the stream is open again.
    } finally {
      isAsking = false;
    }
  };

  pause?.addEventListener("click", () => {
    isPaused = !isPaused;
    pause.textContent = isPaused ? "Go on" : "Stop live updates";
    newer.textContent = "";
    ask();
  });
  const listen = () => {
    const stream = new EventSource("/live");
    stream.addEventListener("changed", ask);
    stream.addEventListener("open", () => { newer.textContent = ""; ask(); });
    stream.addEventListener("error", async () => {
      newer.textContent = "Not live: the console does not answer. Trying again.";
      // A browser tries again by itself only after a connection that broke, not after a refusal.
      if (stream.readyState !== EventSource.CLOSED) return;
      // It does not tell why the stream was refused. A console that was started again knows no session of before.
      const answer = await fetch(location.href, { method: "HEAD" }).catch(() => null);
      if (answer?.status === 401) {
        newer.textContent = "Not live: the console was started again. Open the URL that it printed.";
      } else {
        setTimeout(listen, 2000);
      }
    });
  };
  listen();
  bar.hidden = false;
}

// --- Copy: the text of a block, where the browser lets a page write to the clipboard.
document.querySelectorAll("[data-copy]").forEach((button) => {
  if (!navigator.clipboard) return;
  button.hidden = false;
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(button.parentElement.querySelector("pre").textContent);
    button.textContent = "Copied";
  });
});

// --- Keys: / search, Escape leaves the search box, j and k move, Enter opens. The selected row stays selected when the rows are loaded again.
let selected = null;

const select = (row) => {
  document.querySelectorAll("tr[aria-selected]").forEach((one) => one.removeAttribute("aria-selected"));
  if (!row) return;
  selected = row.dataset.key;
  row.setAttribute("aria-selected", "true");
  row.scrollIntoView({ block: "nearest" });
};

document.addEventListener("htmx:afterSwap", () => {
  if (selected) select(document.querySelector(`tr[data-key="${CSS.escape(selected)}"]`));
});

document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && event.target.id === "q") event.target.blur();
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, select, textarea")) return;
  const all = [...document.querySelectorAll("tr[data-key]")];
  const at = all.findIndex((row) => row.dataset.key === selected);
  if (event.key === "/") {
    event.preventDefault();
    document.querySelector("#q").focus();
  } else if (event.key === "j") {
    select(all[Math.min(at + 1, all.length - 1)]);
  } else if (event.key === "k") {
    select(all[Math.max(at - 1, 0)]);
  } else if (event.key === "Enter" && at >= 0 && event.target === document.body) {
    all[at].querySelector("[data-open]")?.click();
  }
});
