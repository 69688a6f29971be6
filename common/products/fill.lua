-- States that were read under a lease. ARGV continues with, for each product: the state, its
-- lifetime, the leased guard. Returns how many were stored.
--
-- The guard must be as leased. A higher one was raised by a publication, which has put its state.
-- One that is gone has expired or was evicted, and may have been higher than this state.
for i = 1, (#KEYS - 1) / 2 do
  local state, ttl, leased = ARGV[3 * i], ARGV[3 * i + 1], ARGV[3 * i + 2]
  local guard = published(i)
  if guard <= string.sub(state, 1, 20) then
    put(i, guard, state, ttl, is_current and guard == leased)
  end
end
return failure or stored
