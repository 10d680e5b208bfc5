-- The script of wrk: send the deliveries of a file in their order, and print the result as one line of JSON. After the last
-- delivery, begin again with the first. A line of the file is the signature, a space and the body.
--
-- Environment variables: DELIVERIES is the path of the file, and TARGET_PATH the path of the requests. If SECOND_HOST is set,
-- every second thread sends to that host. If ADDRESS is set, wrk connects to it and does not resolve the host of the URL.

if os.getenv("ADDRESS") then
    function wrk.resolve(host, service)
        wrk.addrs = wrk.lookup(os.getenv("ADDRESS"), service)
    end
end

local threads = 0

function setup(thread)
    thread:set("number", threads)
    threads = threads + 1
    thread:set("stride", tonumber(os.getenv("THREADS")))
    local second = os.getenv("SECOND_HOST")
    if second and threads % 2 == 0 then
        thread.addr = wrk.lookup(second, wrk.port)[1]
    end
end

local requests, position = {}, 0

function init(args)
    local headers = {["Content-Type"] = "application/json", ["User-Agent"] = "BMC-HTTPS-ROBOT"}
    local line_number = 0
    for line in io.lines(os.getenv("DELIVERIES")) do
        if line_number % stride == number then
            headers["x-signature-sha256"] = line:sub(1, 64)
            requests[#requests + 1] = wrk.format("POST", os.getenv("TARGET_PATH"), headers, line:sub(66))
        end
        line_number = line_number + 1
    end
end

function request()
    position = position % #requests + 1
    return requests[position]
end

function done(summary, latency)
    local errors = summary.errors
    io.write(string.format(
        'RESULT {"requests": %d, "seconds": %f, "refused": %d, "failed": %d, "p50_ms": %f, "p99_ms": %f}\n',
        summary.requests, summary.duration / 1e6, errors.status, errors.connect + errors.read + errors.write + errors.timeout,
        latency:percentile(50) / 1e3, latency:percentile(99) / 1e3
    ))
end
