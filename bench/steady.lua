-- A steady rate that does not wait for answers: each thread has one connection and a timetable of its own.
-- A latency counts from the moment at which its request was due, so that a stall shows in every request it delayed.
-- wrk -s steady.lua URL -- REQUESTS RESULT CONNECTIONS RATE; one thread for each connection.
local ffi = require("ffi")
ffi.cdef([[
  struct moment { long seconds; long nanoseconds; };
  int clock_gettime(int, struct moment *);
]])
local MONOTONIC, START_AFTER_MS = 1, 500
local threads = {}

local function now_ms()
  local moment = ffi.new("struct moment")
  ffi.C.clock_gettime(MONOTONIC, moment)
  return tonumber(moment.seconds) * 1e3 + tonumber(moment.nanoseconds) / 1e6
end

function setup(thread)
  thread:set("number", #threads)
  thread:set("epoch", threads[1] and threads[1]:get("epoch") or now_ms() + START_AFTER_MS)
  threads[#threads + 1] = thread
end

function init(args)
  local file = assert(io.open(args[1], "rb"))
  local data = file:read("*a")
  file:close()
  result_file = args[2]
  local connections, rate = tonumber(args[3]), tonumber(args[4])
  period = 1e3 * connections / rate
  due = epoch + number * period / connections
  prepared, taken, ids, latencies, refused = {}, 0, {}, {}, 0
  local at, place = 1, 0
  while at <= #data do
    local length = tonumber(data:sub(at, at + 9))
    if place % connections == number then
      prepared[#prepared + 1] = data:sub(at + 10, at + 9 + length)
    end
    at, place = at + 10 + length, place + 1
  end
end

function delay()
  return math.max(0, math.floor(due - now_ms()))
end

function request()
  -- wrk's timers are in whole milliseconds: one that is early counts from its sending.
  began = math.min(due, now_ms())
  due = due + period
  taken = taken + 1
  return prepared[(taken - 1) % #prepared + 1]
end

function response(status, headers, body)
  if status >= 200 and status < 300 then
    ids[#ids + 1] = body:match('"message_id": *"([^"]+)"') or ""
    latencies[#latencies + 1] = now_ms() - began
  else
    refused = refused + 1
  end
end

function done(summary, latency, requests)
  local errors, refused_in_all = summary.errors, 0
  local file = assert(io.open(threads[1]:get("result_file"), "w"))
  for _, thread in ipairs(threads) do
    refused_in_all = refused_in_all + thread:get("refused")
  end
  file:write(string.format('{"seconds": %f, "refused": %d, "broken": %d}\n', (summary.duration / 1e3 - START_AFTER_MS) / 1e3,
    refused_in_all, errors.connect + errors.read + errors.write + errors.timeout))
  for _, thread in ipairs(threads) do
    local ids, latencies = thread:get("ids"), thread:get("latencies")
    for place, id in ipairs(ids) do
      file:write(string.format("%s %.3f\n", id, latencies[place]))
    end
  end
  file:close()
end
