-- SPDX-License-Identifier: Apache-2.0
-- What may become what in the registry. The only definition: leafgate's programs embed this file
-- and the shell scripts run it as it is:
--
--   redis-cli --eval transition.lua leafgate:cert:<fingerprint> leafgate:meta leafgate:log , \
--     activate '' alice 'back from repair'
--
-- KEYS    1 the key of the certificate or block (for init: meta), 2 meta, 3 log. The names of the
--         indexes are made from meta's prefix, so this is not for Redis Cluster.
-- ARGV    1 op, 2 the version the record must have or '', 3 by, 4 note, then field, value ...
--         An op with `?` appended is answered as without it and writes nothing.
-- Answer  {status, seq, from, to, message}: OK (done), SAME (it was so already), REFUSED, CONFLICT
--         (another version) or MISSING (no such record); seq is the change's number in the log, 0
--         when nothing was written. from and to are states; `blocked` for blocks; init's `to` is
--         the id of the data set.
--
-- Nothing is trusted: every key, word and value is checked before the first write, and so is the
-- type of every key, because Redis does not undo what an aborted script has written.

local VALUE_BYTES_MAX = 64
local PREFIX_BYTES_MAX = 64
local QUOTED_BYTES_MAX = 160
local RULE_BYTES_MAX = 128
local SEQ_DIGITS_MAX = 15 -- Lua's numbers are exact up to 2^53
local TIME_MAX = 253402300799 -- 9999-12-31T23:59:59Z, the last one a certificate can express
local LOG_ENTRIES_MAX = '100000'
local FORMAT = '1'

local FACTS = {'device', 'serial', 'issuer', 'not_before', 'not_after', 'spki'}
local LOGGED = {'reason', 'retire_at', 'before', 'device_id'} -- beside from, to, by and note
local STATES = {pending = true, active = true, inactive = true, retiring = true, retired = true,
                revoked = true}
-- RFC 5280 section 5.3.1, without those that take a revocation back or leave it open.
local REASONS = {unspecified = true, keyCompromise = true, cACompromise = true,
                 affiliationChanged = true, superseded = true, cessationOfOperation = true,
                 privilegeWithdrawn = true, aACompromise = true}

-- NEXT[move][from] = to. A record whose state cannot be read (`malformed`) may be turned off,
-- nothing else; `retire later` is a retire with a `retire_at`.
local NEXT = {
  ['activate'] = {pending = 'active', active = 'active', inactive = 'active', retiring = 'active'},
  ['deactivate'] = {pending = 'inactive', active = 'inactive', inactive = 'inactive',
                    retiring = 'inactive', malformed = 'inactive'},
  ['retire later'] = {active = 'retiring', retiring = 'retiring'},
  ['retire'] = {active = 'retired', inactive = 'retired', retiring = 'retired',
               retired = 'retired'},
  ['revoke'] = {pending = 'revoked', active = 'revoked', inactive = 'revoked', retiring = 'revoked',
                retired = 'revoked', revoked = 'revoked', malformed = 'revoked'},
  ['delete'] = {pending = '', active = '', inactive = '', retiring = '', retired = '', revoked = '',
                malformed = ''},
}
local MOVES = {'activate', 'deactivate', 'retire later', 'retire', 'revoke', 'delete'}

-- Which fields an op takes, beside the facts for the ops on certificates.
local TAKES = {
  import = {state = true, retire_at = true, revoked_at = true, reason = true},
  activate = {}, deactivate = {}, retire = {retire_at = true}, revoke = {reason = true},
  delete = {},
  block = {before = true}, unblock = {},
  init = {id = true, device_id = true, change_rule = true},
}
local ON_BLOCKS = {block = true, unblock = true}

local op = ARGV[1] or ''
local dry_run = op:sub(-1) == '?'
if dry_run then op = op:sub(1, -2) end
local expected, by, note = ARGV[2] or '', ARGV[3] or '', ARGV[4] or ''
local now = redis.call('TIME')[1]

local function refuse(message, from)
  return {'REFUSED', 0, from or '', from or '', message}
end

-- The caller's own text in a message: short, one line.
local function quote(text)
  return '`' .. text:sub(1, QUOTED_BYTES_MAX):gsub('[^\32-\95\97-\126]', '?') .. '`'
end

-- Valid UTF-8 without control characters, C1 included: nothing that could steer a terminal.
local function is_text(value)
  if value:find('%c') or value:find('\194[\128-\159]') or value:find('\224[\128-\159]') or
     value:find('\237[\160-\191]') or value:find('\240[\128-\143]') or
     value:find('\244[\144-\191]') then
    return false
  end
  local rest = value:gsub('[\32-\126]', ' '):gsub('[\194-\223][\128-\191]', ' ')
  rest = rest:gsub('[\224-\239][\128-\191][\128-\191]', ' ')
  rest = rest:gsub('[\240-\244][\128-\191][\128-\191][\128-\191]', ' ')
  return not rest:find('[^ ]')
end

local function is_short_text(value) return #value <= VALUE_BYTES_MAX and is_text(value) end

-- Decimal Unix seconds.
local function is_time(value)
  return #value <= 12 and value:find('^%d+$') ~= nil and tonumber(value) <= TIME_MAX
end

local function is_hex(value)
  return #value <= VALUE_BYTES_MAX and value:find('^[0-9a-f]+$') ~= nil
end

local function is_digest(value) return #value == 64 and is_hex(value) end

local function is_device_id(value)
  return value ~= '' and is_short_text(value) and not value:find('[+#/$]')
end

local function is_issuer_id(value)
  return is_hex(value) or (value:sub(1, 5) == 'name-' and is_digest(value:sub(6)))
end

local function is_rule(value) return value ~= '' and #value <= RULE_BYTES_MAX and is_text(value) end

local CHECKS = {
  state = {function(v) return STATES[v] end,
           'pending, active, inactive, retiring, retired or revoked'},
  device = {is_device_id, '1 to 64 bytes of UTF-8 without + # / $ and control characters'},
  serial = {is_hex, 'at most 64 lower-case hex digits'},
  issuer = {is_hex, 'an authority key id of at most 64 lower-case hex digits'},
  spki = {is_digest, '64 lower-case hex digits'},
  not_before = {is_time, 'Unix seconds'},
  not_after = {is_time, 'Unix seconds'},
  retire_at = {is_time, 'Unix seconds'},
  revoked_at = {is_time, 'Unix seconds'},
  before = {is_time, 'Unix seconds'},
  reason = {function(v) return REASONS[v] end,
            'unspecified, keyCompromise, cACompromise, affiliationChanged, superseded, ' ..
            'cessationOfOperation, privilegeWithdrawn or aACompromise'},
  id = {function(v) return #v == 32 and is_hex(v) end, '32 random lower-case hex digits'},
  device_id = {is_rule, 'a device-id rule such as `cn`'},
  change_rule = {function(v) return v == 'yes' end, '`yes`'},
}

-- What KEYS[1] names: {kind, id}; nil when it is no key of this op.
local function read_target(prefix)
  if KEYS[1]:sub(1, #prefix) ~= prefix then return nil end
  local name = KEYS[1]:sub(#prefix + 1)
  if op == 'init' then return name == 'meta' and {kind = 'meta'} or nil end
  if not ON_BLOCKS[op] then
    local fingerprint = name:sub(6)
    if name:sub(1, 5) ~= 'cert:' or not is_digest(fingerprint) then return nil end
    return {kind = 'cert', id = fingerprint}
  end
  local subject, id = name:match('^block:(%l+):(.*)$')
  if (subject == 'device' and is_device_id(id)) or (subject == 'issuer' and is_issuer_id(id)) then
    return {kind = 'block', id = id}
  end
  return nil
end

-- The fields of this call: {name = value}; or nil and what is wrong with them.
local function read_fields(kind)
  if #ARGV % 2 ~= 0 then return nil, 'a field without a value: give field and value in pairs' end
  local takes, fields = {}, {}
  for name in pairs(TAKES[op]) do takes[name] = true end
  if kind == 'cert' and op ~= 'delete' then
    for _, fact in ipairs(FACTS) do takes[fact] = true end
  end
  for i = 5, #ARGV, 2 do
    local name, value = ARGV[i], ARGV[i + 1]
    if not takes[name] then return nil, op .. ' takes no field ' .. quote(name) end
    if fields[name] then return nil, 'field `' .. name .. '` is given twice' end
    if name == 'reason' and value == 'certificateHold' then
      return nil, 'certificateHold is not a revocation here: use deactivate, which can be undone'
    end
    if not CHECKS[name][1](value) then
      return nil, 'field `' .. name .. '` is ' .. quote(value) .. ': it must be ' .. CHECKS[name][2]
    end
    fields[name] = value
  end
  return fields
end

-- The first key that holds something else than it should; nil when there is none.
local function find_wrong_type(types)
  for _, pair in ipairs(types) do
    local found = redis.call('TYPE', pair[1]).ok
    if found ~= 'none' and found ~= pair[2] then
      return quote(pair[1]) .. ' is a ' .. found .. ', not a ' .. pair[2] ..
             ': rename or delete that key first'
    end
  end
  return nil
end

local function read_hash(key, names)
  local values, hash = redis.call('HMGET', key, unpack(names)), {}
  for i, name in ipairs(names) do hash[name] = values[i] or '' end -- absent and empty are one
  return hash
end

-- The state that brokers act on: see parse_record() in registry/schema.h.
local function state_of(record)
  if record.revoked_at ~= '' then return 'revoked' end
  if not STATES[record.state] then return 'malformed' end
  if record.state == 'retiring' and not is_time(record.retire_at) then return 'malformed' end
  return record.state
end

-- Facts are written once: a transition may add one that a bare HSET left out, never change one.
local function add_facts(record, fields, set)
  for _, fact in ipairs(FACTS) do
    local given = fields[fact]
    if given and record[fact] == '' then
      set[fact] = given
    elseif given and record[fact] ~= given then
      return 'the record has another `' .. fact .. '`, ' .. quote(record[fact]) ..
             ': facts of a certificate never change'
    end
  end
  return nil
end

-- What to write is {to, set = {field = value}, clear = {field ...}}; each judge returns that or an
-- answer, which has a status in its place 1.

local function judge_import(record, from, fields)
  if record then
    for _, fact in ipairs(FACTS) do
      if fields[fact] and fields[fact] ~= record[fact] then
        local which = record[fact] == '' and 'no' or 'another'
        return refuse('there is a record with ' .. which .. ' `' .. fact ..
                      '`: import never alters a record', from)
      end
    end
    return {'SAME', 0, from, from, 'there is a record with these facts already'}
  end
  local to = fields.state
  if not to then return refuse('import needs the field `state`') end
  if (to == 'retiring') ~= (fields.retire_at ~= nil) then
    return refuse('`retire_at` goes with state `retiring`, and only with it')
  end
  if to ~= 'revoked' and (fields.reason or fields.revoked_at) then
    return refuse('`reason` and `revoked_at` go with state `revoked`, and only with it')
  end
  if to == 'revoked' then
    fields.revoked_at = fields.revoked_at or now
    fields.reason = fields.reason or 'unspecified'
  end
  return {to = to, set = fields}
end

local function judge_revoke(record, from, fields, set)
  local stands = from == 'revoked' and record or {revoked_at = '', reason = ''}
  if fields.reason and REASONS[stands.reason] and stands.reason ~= fields.reason then
    return refuse('it is revoked for ' .. stands.reason .. ' already: a revocation is final', from)
  end
  -- A person's HSET may have left out a part, or put another state over it: write what is missing.
  if record.state ~= 'revoked' then set.state = 'revoked' end
  if not is_time(stands.revoked_at) then set.revoked_at = now end
  if not REASONS[stands.reason] then set.reason = fields.reason or 'unspecified' end
  return {to = 'revoked', set = set, clear = {'retire_at'}}
end

local function judge_delete(record, from)
  local expired = is_time(record.not_after) and tonumber(record.not_after) < tonumber(now)
  if from == 'revoked' and not expired then
    return refuse('it is revoked and not known to be expired: without its record it could be ' ..
                  'imported again', from)
  end
  return {to = '', delete = true}
end

local function possible_from(from)
  if from == 'revoked' then return 'a revocation is final' end
  local possible = {}
  for _, move in ipairs(MOVES) do
    if NEXT[move][from] and NEXT[move][from] ~= from then possible[#possible + 1] = move end
  end
  return 'possible: ' .. table.concat(possible, ', ')
end

local function judge_move(record, from, fields)
  local move = fields.retire_at and 'retire later' or op
  local to = NEXT[move][from]
  if not to then
    return refuse(move .. ' is not possible from state ' .. quote(from) .. ': ' ..
                  possible_from(from), from)
  end
  if op == 'delete' then return judge_delete(record, from) end
  if fields.retire_at and tonumber(fields.retire_at) <= tonumber(now) then
    return refuse('`retire_at` is not in the future: leave it out to retire now', from)
  end
  local set = {}
  local conflict = add_facts(record, fields, set)
  if conflict then return refuse(conflict, from) end
  if op == 'revoke' then return judge_revoke(record, from, fields, set) end
  if to ~= from then set.state = to end
  if fields.retire_at == record.retire_at then return {to = to, set = set, clear = {}} end
  set.retire_at = fields.retire_at
  return {to = to, set = set, clear = {'retire_at'}}
end

local function judge_cert(fields)
  local names = {'state', 'retire_at', 'revoked_at', 'reason', 'version', unpack(FACTS)}
  local record, from = nil, ''
  if redis.call('EXISTS', KEYS[1]) == 1 then
    record = read_hash(KEYS[1], names)
    from = state_of(record)
  end
  if op ~= 'import' and not record then
    return {'MISSING', 0, '', '', 'there is no record of this certificate: import it first'}
  end
  local version = record and record.version ~= '' and record.version or '0'
  if expected ~= '' and version ~= expected then
    return {'CONFLICT', 0, from, from, 'the record has version ' .. quote(version) .. ', not ' ..
            quote(expected) .. ': look at it again'}
  end
  local judge = op == 'import' and judge_import or judge_move
  local change = judge(record, from, fields)
  if change[1] then return change end
  if record and not change.delete and next(change.set) == nil then
    return {'SAME', 0, from, from, 'it is ' .. quote(from) .. ' already'}
  end
  change.from, change.record = from, record or {}
  return change
end

local function judge_block(fields)
  local exists = redis.call('EXISTS', KEYS[1]) == 1
  local from = exists and 'blocked' or ''
  if expected ~= '' then return refuse('a block has no version to expect', from) end
  if op == 'unblock' then
    if not exists then return {'MISSING', 0, '', '', 'there is no such block'} end
    return {from = from, to = '', delete = true}
  end
  local change = {from = from, to = 'blocked', set = {before = fields.before}, clear = {'before'}}
  if not exists then return change end
  local before = redis.call('HGET', KEYS[1], 'before') or ''
  local all = not is_time(before) -- every certificate is blocked, as parse_block() reads it
  if (all and not fields.before) or before == fields.before then
    return {'SAME', 0, from, from, 'it is blocked so already'}
  end
  if fields.before and (all or tonumber(fields.before) < tonumber(before)) then
    local which = all and 'of all certificates' or 'before ' .. before
    return refuse('a stricter block, ' .. which .. ', is in place: unblock first', from)
  end
  return change
end

local function judge_init(meta, fields)
  if not fields.id or not fields.device_id then
    return refuse('init needs the fields `id` and `device_id`')
  end
  if expected ~= '' then return refuse('meta has no version to expect') end
  if meta.id ~= '' and meta.device_id == fields.device_id then
    return {'SAME', 0, meta.id, meta.id, 'the data set has this id and rule already'}
  end
  if meta.device_id ~= '' and meta.device_id ~= fields.device_id and not fields.change_rule then
    return {'REFUSED', 0, meta.id, meta.id, 'the device-id rule is ' .. quote(meta.device_id) ..
            ': to change it for the whole fleet, say so'}
  end
  local id = meta.id ~= '' and meta.id or fields.id
  return {from = meta.id, to = id, set = {id = id, format = FORMAT, device_id = fields.device_id}}
end

local function write_log(seq, change)
  local entry = {'seq', seq, 'key', KEYS[1], 'from', change.from, 'to', change.to, 'by', by,
                 'note', note}
  for _, name in ipairs(LOGGED) do
    if change.set and change.set[name] then
      entry[#entry + 1] = name
      entry[#entry + 1] = change.set[name]
    end
  end
  redis.call('XADD', KEYS[3], 'MAXLEN', '~', LOG_ENTRIES_MAX, '*', unpack(entry))
end

-- Brings the indexes in line with a record; removes it from them when it is deleted.
local function write_indexes(prefix, fingerprint, change)
  local function fact(name) return change.set and change.set[name] or change.record[name] or '' end
  local function update(index, score, member)
    if change.delete then
      redis.call('ZREM', prefix .. index, member)
    else
      redis.call('ZADD', prefix .. index, score, member)
    end
  end
  local device, spki, not_after = fact('device'), fact('spki'), fact('not_after')
  if is_device_id(device) then update('index:device', 0, device .. '/' .. fingerprint) end
  if is_digest(spki) then update('index:spki', 0, spki .. '/' .. fingerprint) end
  if is_time(not_after) then update('index:expiry', not_after, fingerprint) end
end

-- The one place that writes.
local function commit(prefix, target, change)
  local expires = not change.delete and redis.call('PTTL', KEYS[1]) >= 0
  local message = expires and 'its time to live is removed' or ''
  if dry_run then return {'OK', 0, change.from, change.to, message} end
  -- DEL and HDEL go first: Redis permits them when memory is full, and then the rest of the script
  -- too, so that a full Redis can still be told to turn a device off.
  if change.delete then
    redis.call('DEL', KEYS[1])
  elseif change.clear then
    redis.call('HDEL', KEYS[1], 'note', unpack(change.clear))
  end
  local seq = redis.call('HINCRBY', KEYS[2], 'seq', 1)
  if not change.delete then
    local set, arguments = change.set, {}
    if target.kind ~= 'meta' then
      set.updated_at, set.updated_by, set.note = now, by, note ~= '' and note or nil
      set.version = target.kind == 'cert' and seq or nil
    end
    for name, value in pairs(set) do
      arguments[#arguments + 1] = name
      arguments[#arguments + 1] = value
    end
    redis.call('HSET', KEYS[1], unpack(arguments))
    -- What was decided, above all a refusal, must not evaporate.
    if expires then redis.call('PERSIST', KEYS[1]) end
  end
  if target.kind == 'cert' then write_indexes(prefix, target.id, change) end
  write_log(seq, change)
  return {'OK', seq, change.from, change.to, message}
end

-- What is wrong with the arguments that all ops have; nil when nothing is.
local function find_bad_argument()
  if not TAKES[op] then return 'unknown operation ' .. quote(op) end
  if expected ~= '' and not expected:find('^%d+$') then
    return 'the expected version is not a number'
  end
  if by == '' then return '`by` is empty: say who makes this change' end
  if not is_short_text(by) or not is_short_text(note) then
    return '`by` and `note` are at most 64 bytes of UTF-8 without control characters'
  end
  return nil
end

local function read_meta()
  local meta = read_hash(KEYS[2], {'id', 'format', 'seq', 'device_id'})
  if meta.format ~= '' and meta.format ~= FORMAT then
    return nil, 'the data set has format ' .. quote(meta.format) .. ', this program knows ' ..
                FORMAT .. ': use a newer one'
  end
  if meta.seq ~= '' and (#meta.seq > SEQ_DIGITS_MAX or not meta.seq:find('^%d+$')) then
    return nil, 'field `seq` of ' .. quote(KEYS[2]) .. ' is not a number: repair it first'
  end
  return meta
end

local function run()
  if #KEYS ~= 3 or #ARGV < 4 then
    return refuse('give three keys (certificate or block, meta, log) and op, version, by, note')
  end
  local prefix = KEYS[2]:match('^([%w._:{}-]*:)meta$')
  if not prefix or #prefix > PREFIX_BYTES_MAX or KEYS[3] ~= prefix .. 'log' then
    return refuse('the second and third key must be meta and log of one prefix that ends in `:`')
  end
  local problem = find_bad_argument()
  if problem then return refuse(problem) end
  local target = read_target(prefix)
  if not target then return refuse(quote(KEYS[1]) .. ' is not a key for ' .. op) end
  local fields
  fields, problem = read_fields(target.kind)
  if problem then return refuse(problem) end
  problem = find_wrong_type({
    {KEYS[1], 'hash'}, {KEYS[2], 'hash'}, {KEYS[3], 'stream'}, {prefix .. 'index:device', 'zset'},
    {prefix .. 'index:spki', 'zset'}, {prefix .. 'index:expiry', 'zset'},
  })
  if problem then return refuse(problem) end
  local meta
  meta, problem = read_meta()
  if problem then return refuse(problem) end

  local change
  if target.kind == 'cert' then
    change = judge_cert(fields)
  elseif target.kind == 'block' then
    change = judge_block(fields)
  else
    change = judge_init(meta, fields)
  end
  if change[1] then return change end
  return commit(prefix, target, change)
end

return run()
