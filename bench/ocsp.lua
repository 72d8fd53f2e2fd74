-- Posts OCSP requests in turn. The file named after "--" holds one request in hexadecimal a line; with
-- "nonce" behind it the last 16 octets, the nonce, are drawn anew for each request.
local requests, nonce, at = {}, false, 0
local headers = { ["Content-Type"] = "application/ocsp-request" }

function init(args)
  for line in io.lines(args[1]) do
    requests[#requests + 1] = line:gsub("%x%x", function(octet) return string.char(tonumber(octet, 16)) end)
  end
  nonce = args[2] == "nonce"
end

function request()
  at = at % #requests + 1
  local body = requests[at]
  if nonce then
    local octets = {}
    for i = 1, 16 do octets[i] = string.char(math.random(0, 255)) end
    body = body:sub(1, -17) .. table.concat(octets)
  end
  return wrk.format("POST", "/ocsp", headers, body)
end
