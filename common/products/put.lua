-- Begins publish.lua, fill.lua and drop.lua: puts states of products, none over a newer one.
--
-- KEYS: the nonce's key, then for each product its state's key and its guard's, then what each
-- script says.
-- ARGV: the nonce that the caller knows, the lifetime of a guard, then what each script says.
--
-- A state's first 20 bytes are its version, padded with zeros. A guard is the highest version that
-- was ever put, or read by a process that wanted to put it. Versions are compared as text of equal
-- length, because Lua's numbers are doubles.
local UNPUBLISHED = '-' -- stands for a guard that is not there; lower than any digit
local MISSING = string.rep('0', 20) -- the version of a product that never was

local is_current = redis.call('GET', KEYS[1]) == ARGV[1]
local guard_ttl = ARGV[2]
local stored, failure = 0, nil

local function state_key(i) return KEYS[2 * i] end
local function guard_key(i) return KEYS[2 * i + 1] end
local function published(i) return redis.call('GET', guard_key(i)) or UNPUBLISHED end

-- Without room for a newer state (maxmemory without eviction) the older one goes as well.
local function set(i, key, value, ttl)
  local reply = redis.pcall('SET', key, value, 'PX', ttl)
  if reply.err then
    failure = reply
    redis.call('DEL', state_key(i), guard_key(i))
  end
  return not reply.err
end

-- From now on every older state is refused. A missing product needs no guard: none is older.
local function raise(i, guard, version)
  return guard >= version or version == MISSING or set(i, guard_key(i), version, guard_ttl)
end

-- Returns how many states were removed: 1 or 0.
local function remove_older(i, version)
  local there = redis.call('GETRANGE', state_key(i), 0, 19)
  return there ~= '' and there < version and redis.call('DEL', state_key(i)) or 0
end

-- Puts a state that is no older than its guard. With keep == false older ones are only removed.
-- False: a newer one is there, or there is no room.
local function put(i, guard, state, ttl, keep)
  local version = string.sub(state, 1, 20)
  if not raise(i, guard, version) then return false end
  if not keep then
    remove_older(i, version)
    return true
  end
  if redis.call('GETRANGE', state_key(i), 0, 19) > version
    or not set(i, state_key(i), state, ttl) then
    return false
  end
  stored = stored + 1
  return true
end
