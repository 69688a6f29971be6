-- Committed states. ARGV continues with, for each product: the state, its lifetime.
-- Returns how many were stored, or -1 when the nonce is another one: then none was, because Redis
-- has been emptied since the caller knew it, and may have lost a newer state.
for i = 1, (#KEYS - 1) / 2 do
  local state, ttl = ARGV[2 * i + 1], ARGV[2 * i + 2]
  local guard = published(i)
  if guard <= string.sub(state, 1, 20) then put(i, guard, state, ttl, is_current) end
end
return failure or (is_current and stored or -1)
