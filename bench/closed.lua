-- A closed loop: each connection sends its next request when it has its answer.
-- wrk -s closed.lua URL -- REQUESTS RESULT
-- REQUESTS holds whole HTTP requests, each behind its length in 10 digits.
local threads = {}

function setup(thread)
  threads[#threads + 1] = thread
end

function init(args)
  local file = assert(io.open(args[1], "rb"))
  local data = file:read("*a")
  file:close()
  result_file = args[2]
  prepared, sent, ids, refused = {}, 0, {}, 0
  local at = 1
  while at <= #data do
    local length = tonumber(data:sub(at, at + 9))
    prepared[#prepared + 1] = data:sub(at + 10, at + 9 + length)
    at = at + 10 + length
  end
end

function request()
  sent = sent + 1
  return prepared[(sent - 1) % #prepared + 1]
end

function response(status, headers, body)
  if status >= 200 and status < 300 then
    ids[#ids + 1] = body:match('"message_id": *"([^"]+)"') or ""
  else
    refused = refused + 1
  end
end

function done(summary, latency, requests)
  local thread = threads[1]
  local errors = summary.errors
  local file = assert(io.open(thread:get("result_file"), "w"))
  file:write(string.format(
    '{"seconds": %f, "refused": %d, "broken": %d, ' ..
    '"latencies_ms": {"p50_ms": %f, "p90_ms": %f, "p99_ms": %f, "max_ms": %f}}\n',
    summary.duration / 1e6, thread:get("refused"), errors.connect + errors.read + errors.write + errors.timeout,
    latency:percentile(50) / 1e3, latency:percentile(90) / 1e3, latency:percentile(99) / 1e3, latency.max / 1e3))
  for _, id in ipairs(thread:get("ids")) do
    file:write(id, "\n")
  end
  file:close()
end
