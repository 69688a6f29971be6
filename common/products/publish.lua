-- Committed states. KEYS ends with the stream's key. ARGV continues with, for each product: the
-- state, its lifetime.
-- Returns how many were stored, or -1 when the nonce is another one: then none was, because Redis
-- has been emptied since the caller knew it, and may have lost a newer state.
--
-- The states that Redis knows nothing newer of are also an entry of the stream: the pairs of id and
-- state. A reader finds them in its Redis no later than in the stream, because it is one script.
local ENTRIES = 1000 -- that stay; a reader who is further behind goes by the ledger alone
local ENTRY_BYTES = 16384 -- of about 50 states; with ENTRIES it bounds the stream to 16 MB
local STREAM_MS = 600000 -- after the last entry; so the streams of former epochs go

local change, bytes = {}, 0
for i = 1, #KEYS / 2 - 1 do
  local state, ttl = ARGV[2 * i + 1], ARGV[2 * i + 2]
  local guard = published(i)
  if guard <= string.sub(state, 1, 20) and put(i, guard, state, ttl, is_current) then
    change[#change + 1] = string.match(state_key(i), '%d+$')
    change[#change + 1] = state
    bytes = bytes + #state
  end
end

-- A larger change is not told, because it would push out many small ones, and the products of a
-- large one are seldom those that everybody asks for; readers hear of it by the ledger. Nor does it
-- matter to a publication whether Redis refuses the stream (for lack of room, or of a right).
if #change > 0 and bytes <= ENTRY_BYTES then
  redis.pcall('XADD', KEYS[#KEYS], 'MAXLEN', '~', ENTRIES, '*', unpack(change))
  redis.pcall('PEXPIRE', KEYS[#KEYS], STREAM_MS)
end
return failure or (is_current and stored or -1)
