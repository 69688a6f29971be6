-- Versions that products have, or have passed. ARGV continues with the version of each product.
-- Returns how many states were removed. Nothing is stored, so it does not matter whether the nonce
-- is another one.
local removed = 0
for i = 1, (#KEYS - 1) / 2 do
  local version = ARGV[i + 2]
  raise(i, published(i), version)
  removed = removed + remove_older(i, version)
end
return failure or removed
