-- SPDX-License-Identifier: Apache-2.0
-- What may become what in the registry. The only definition: leafgate's programs embed this file
-- and the shell scripts run it as it is:
--
--   redis-cli --eval transition.lua leafgate:cert:<fingerprint> leafgate:meta leafgate:log , \
--     activate '' alice 'back from repair'
--
-- KEYS    1 the key of the certificate or block (for init and confirm: meta), 2 meta, 3 log. The
--         names of the indexes are made from meta's prefix, so this is not for Redis Cluster.
-- ARGV    1 op, 2 the version the record must have or '' (for restore: when the key's time to live
--         ends, in Unix milliseconds), 3 by, 4 note, then field, value ...
--         An op with `?` appended is answered as without it and writes nothing.
-- Answer  {status, seq, from, to, message}: OK (done), SAME (it was so already), REFUSED, CONFLICT
--         (another version) or MISSING (no such record); seq is the change's number in the log, 0
--         when nothing was written. from and to are states; `blocked` for blocks; for meta the id
--         of the data set.
--
-- Nothing is trusted: every key, word and value is checked before the first write, and so is the
-- type of every key, because Redis does not undo what an aborted script has written.

local VALUE_BYTES_MAX = 64
local PREFIX_BYTES_MAX = 64
local QUOTED_BYTES_MAX = 160
local RULE_BYTES_MAX = 128
local SEQ_DIGITS_MAX = 15 -- Lua's numbers are exact up to 2^53
local RESTORED_SEQ_DIGITS_MAX = 14 -- so that no backup can use up all the numbers there are
local STORED_BYTES_MAX = 4096 -- of what people may have put into a hash by hand
local STORED_FIELDS_MAX = 500
local TIME_MAX = 253402300799 -- 9999-12-31T23:59:59Z, the last one a certificate can express
local LOG_ENTRIES_MAX = '100000'
local FORMAT = '1'

local FACTS = {'device', 'serial', 'issuer', 'not_before', 'not_after', 'spki'}
-- Beside from, to, by and note.
local LOGGED = {'reason', 'retire_at', 'before', 'device_id', 'replaces', 'confirmed'}

-- Lists of words. Strings, because every call of the script would build tables anew.
local STATES = 'pending active inactive retiring retired revoked'
-- RFC 5280 section 5.3.1, without those that take a revocation back or leave it open.
local REASONS = 'unspecified keyCompromise cACompromise affiliationChanged superseded ' ..
                'cessationOfOperation privilegeWithdrawn aACompromise'

-- From which states a move leads where. A record whose state cannot be read (`malformed`) may be
-- turned off, nothing else; `retire later` is a retire with a `retire_at`.
local MOVES = {
  ['activate'] = {to = 'active', from = 'pending active inactive retiring'},
  ['deactivate'] = {to = 'inactive', from = 'pending active inactive retiring malformed'},
  ['retire later'] = {to = 'retiring', from = 'active retiring'},
  ['retire'] = {to = 'retired', from = 'active inactive retiring retired'},
  ['revoke'] = {to = 'revoked', from = STATES .. ' malformed'},
  ['delete'] = {to = '', from = STATES .. ' malformed'},
}

-- What an op is about, where it is not certificates alone.
local TARGETS = {
  block = 'block', unblock = 'block', init = 'meta', confirm = 'meta', restore = 'cert block meta',
}

-- Which fields an op takes, beside the facts for the ops on certificates. restore takes all.
local TAKES = {
  import = 'state retire_at revoked_at reason', activate = '', deactivate = '',
  retire = 'retire_at', revoke = 'reason', delete = '', block = 'before', unblock = '',
  init = 'id device_id change_rule', confirm = 'id replaces device_id', restore = '',
}

local op = ARGV[1] or ''
local dry_run = op:sub(-1) == '?'
if dry_run then op = op:sub(1, -2) end
local expected, by, note = ARGV[2] or '', ARGV[3] or '', ARGV[4] or ''
local time = redis.call('TIME')
local now = time[1]

local function refuse(message, from)
  return {'REFUSED', 0, from or '', from or '', message}
end

local function is_in(words, word)
  if word == '' or word:find(' ', 1, true) then return false end
  return (' ' .. words .. ' '):find(' ' .. word .. ' ', 1, true) ~= nil
end

-- The caller's own text in a message: short, one line.
local function quote(text)
  return '`' .. text:sub(1, QUOTED_BYTES_MAX):gsub('[^\32-\95\97-\126]', '?') .. '`'
end

-- Valid UTF-8 without control characters, C1 included: nothing that could steer a terminal.
local function is_text(value)
  if not value:find('[^\32-\126]') then return true end
  if value:find('\194[\128-\159]') or value:find('\224[\128-\159]') or
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

local function is_state(value) return is_in(STATES, value) end
local function is_reason(value) return is_in(REASONS, value) end
local function is_id(value) return #value == 32 and is_hex(value) end
local function is_yes(value) return value == 'yes' end

local CHECKS = {
  state = is_state, device = is_device_id, serial = is_hex, issuer = is_hex, spki = is_digest,
  not_before = is_time, not_after = is_time, retire_at = is_time, revoked_at = is_time,
  before = is_time, reason = is_reason, id = is_id, replaces = is_id, device_id = is_rule,
  change_rule = is_yes,
}

local function expectation(field)
  local EXPECTED = {
    [is_state] = 'one of ' .. STATES,
    [is_device_id] = '1 to 64 bytes of UTF-8 without + # / $ and control characters',
    [is_hex] = 'at most 64 lower-case hex digits',
    [is_digest] = '64 lower-case hex digits',
    [is_time] = 'Unix seconds',
    [is_reason] = 'one of ' .. REASONS,
    [is_id] = '32 random lower-case hex digits',
    [is_rule] = 'a device-id rule such as `cn`',
    [is_yes] = '`yes`',
  }
  return EXPECTED[CHECKS[field]]
end

-- What KEYS[1] names: {kind, id}; nil when it is no key of this op.
local function read_target(prefix)
  if KEYS[1]:sub(1, #prefix) ~= prefix then return nil end
  local name, takes = KEYS[1]:sub(#prefix + 1), TARGETS[op] or 'cert'
  if name == 'meta' then return is_in(takes, 'meta') and {kind = 'meta'} or nil end
  if name:sub(1, 5) == 'cert:' then
    local fingerprint = name:sub(6)
    if not is_in(takes, 'cert') or not is_digest(fingerprint) then return nil end
    return {kind = 'cert', id = fingerprint}
  end
  local subject, id = name:match('^block:(%l+):(.*)$')
  if not is_in(takes, 'block') then return nil end
  if (subject == 'device' and is_device_id(id)) or (subject == 'issuer' and is_issuer_id(id)) then
    return {kind = 'block', id = id}
  end
  return nil
end

-- The fields of a restore: whatever a hash may hold. A record that people have spoiled by hand is
-- part of the backup too; brokers refuse it as they did.
local function read_stored_fields()
  if #ARGV > 4 + 2 * STORED_FIELDS_MAX then
    return nil, 'a record has at most ' .. STORED_FIELDS_MAX .. ' fields'
  end
  local fields = {}
  for i = 5, #ARGV, 2 do
    local name, value = ARGV[i], ARGV[i + 1]
    if #name > STORED_BYTES_MAX or #value > STORED_BYTES_MAX then
      return nil, 'field ' .. quote(name) .. ' has more than ' .. STORED_BYTES_MAX .. ' bytes'
    end
    if fields[name] then return nil, 'field ' .. quote(name) .. ' is given twice' end
    fields[name] = value
  end
  if next(fields) == nil then return nil, 'restore needs the fields of the record' end
  return fields
end

-- The fields of this call: {name = value}; or nil and what is wrong with them.
local function read_fields(kind)
  if #ARGV % 2 ~= 0 then return nil, 'a field without a value: give field and value in pairs' end
  if op == 'restore' then return read_stored_fields() end
  local takes, fields = TAKES[op], {}
  if kind == 'cert' and op ~= 'delete' then takes = takes .. ' ' .. table.concat(FACTS, ' ') end
  for i = 5, #ARGV, 2 do
    local name, value = ARGV[i], ARGV[i + 1]
    if not is_in(takes, name) then return nil, op .. ' takes no field ' .. quote(name) end
    if fields[name] then return nil, 'field `' .. name .. '` is given twice' end
    if name == 'reason' and value == 'certificateHold' then
      return nil, 'certificateHold is not a revocation here: use deactivate, which can be undone'
    end
    if not CHECKS[name](value) then
      return nil, 'field `' .. name .. '` is ' .. quote(value) .. ', not ' .. expectation(name)
    end
    fields[name] = value
  end
  return fields
end

-- What is wrong with the type of a key; nil when nothing is.
local function find_wrong_type(key, expected)
  local found = redis.call('TYPE', key).ok
  if found == 'none' or found == expected then return nil end
  return quote(key) .. ' is a ' .. found .. ', not a ' .. expected ..
         ': rename or delete that key first'
end

-- The named fields of a hash, absent and empty ones as ''. Second: whether there is such a key.
-- Third: what is wrong with it.
local function read_hash(key, names)
  local values, hash, exists = redis.pcall('HMGET', key, unpack(names)), {}, false
  if values.err then return hash, false, find_wrong_type(key, 'hash') or values.err end
  for i, name in ipairs(names) do
    exists = exists or values[i] ~= false
    hash[name] = values[i] or ''
  end
  return hash, exists or redis.call('EXISTS', key) == 1
end

-- The state that brokers act on: see parse_record() in registry/schema.h.
local function state_of(record)
  if record.revoked_at ~= '' then return 'revoked' end
  if not is_state(record.state) then return 'malformed' end
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
  if fields.reason and is_reason(stands.reason) and stands.reason ~= fields.reason then
    return refuse('it is revoked for ' .. stands.reason .. ' already: a revocation is final', from)
  end
  -- A person's HSET may have left out a part, or put another state over it: write what is missing.
  if record.state ~= 'revoked' then set.state = 'revoked' end
  if not is_time(stands.revoked_at) then set.revoked_at = now end
  if not is_reason(stands.reason) then set.reason = fields.reason or 'unspecified' end
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
  for _, move in ipairs({'activate', 'deactivate', 'retire later', 'retire', 'revoke', 'delete'}) do
    local leads = MOVES[move]
    if leads.to ~= from and is_in(leads.from, from) then possible[#possible + 1] = move end
  end
  return 'possible: ' .. table.concat(possible, ', ')
end

local function judge_move(record, from, fields)
  local move = fields.retire_at and 'retire later' or op
  local to = MOVES[move].to
  if not is_in(MOVES[move].from, from) then
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
  local record, exists, problem =
    read_hash(KEYS[1], {'state', 'retire_at', 'revoked_at', 'reason', 'version', unpack(FACTS)})
  if problem then return refuse(problem) end
  if not exists then record = nil end
  local from = exists and state_of(record) or ''
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
  local block, exists, problem = read_hash(KEYS[1], {'before'})
  if problem then return refuse(problem) end
  local before, from = block.before, exists and 'blocked' or ''
  if expected ~= '' then return refuse('a block has no version to expect', from) end
  if op == 'unblock' then
    if not exists then return {'MISSING', 0, '', '', 'there is no such block'} end
    return {from = from, to = '', delete = true}
  end
  local change = {from = from, to = 'blocked', set = {before = fields.before}, clear = {'before'}}
  if not exists then return change end
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

-- Accepts the data set as it is: brokers that hold absences back because they remember `replaces`
-- go on with this one, and what they refused on their own is forgotten.
local function judge_confirm(meta, fields)
  if not fields.id then return refuse('confirm needs the field `id`') end
  if expected ~= '' then return refuse('meta has no version to expect') end
  local id = meta.id ~= '' and meta.id or fields.id
  if fields.replaces == id then
    return refuse('the data set cannot replace itself: `replaces` is its own id', meta.id)
  end
  if fields.device_id and meta.device_id ~= '' and meta.device_id ~= fields.device_id then
    return refuse('the device-id rule is ' .. quote(meta.device_id) .. ': init changes it', meta.id)
  end
  local set = {id = id, format = FORMAT, replaces = fields.replaces, device_id = fields.device_id}
  return {from = meta.id, to = id, set = set, clear = {'replaces'}, confirms = true}
end

-- All fields of the hash KEYS[1], {} when there is none; nil and what is wrong with it.
local function read_all()
  local flat, hash = redis.pcall('HGETALL', KEYS[1]), {}
  if flat.err then return nil, find_wrong_type(KEYS[1], 'hash') or flat.err end
  for i = 1, #flat, 2 do hash[flat[i]] = flat[i + 1] end
  return hash
end

-- The first field, by name, in which two hashes differ; nil when they are equal.
local function find_difference(a, b)
  local first
  for _, pair in ipairs({{a, b}, {b, a}}) do
    for name, value in pairs(pair[1]) do
      if pair[2][name] ~= value and (not first or name < first) then first = name end
    end
  end
  return first
end

local function is_number_to_restore(text)
  return #text <= RESTORED_SEQ_DIGITS_MAX and text:find('^%d+$') ~= nil
end

local function judge_restore_meta(stored, fields)
  if not is_id(fields.id or '') then return refuse('field `id` is not ' .. expectation('id')) end
  fields.format = fields.format or FORMAT
  if fields.format ~= FORMAT then
    return refuse('the backup has format ' .. quote(fields.format) ..
                  ', this program knows ' .. FORMAT)
  end
  if fields.seq and not is_number_to_restore(fields.seq) then
    return refuse('field `seq` is not a number of at most ' .. RESTORED_SEQ_DIGITS_MAX .. ' digits')
  end
  local id = stored.id or ''
  if id == fields.id then return {'SAME', 0, id, id, 'the data set has this id already'} end
  if id ~= '' then
    return refuse('the data set has another id, ' .. quote(id) .. ': it is kept', id)
  end
  for name, value in pairs(stored) do
    if not is_in('seq replaces confirmed restored', name) and fields[name] ~= value then
      return refuse('meta has another ' .. quote(name) .. ': restore never alters it', id)
    end
  end
  local floor = fields.seq
  -- These were said to brokers at their time: no backup may say them again.
  fields.seq, fields.replaces, fields.confirmed, fields.restored = nil, nil, nil, nil
  return {from = '', to = fields.id, set = fields, floor = floor, restores = true}
end

local function restored_state(target, fields)
  if target.kind == 'block' then return 'blocked' end
  local record = {}
  for _, name in ipairs({'state', 'retire_at', 'revoked_at'}) do
    record[name] = fields[name] or ''
  end
  return state_of(record)
end

-- Writes what a backup has exactly as it was, and only where there is nothing.
local function judge_restore(target, fields)
  local stored, problem = read_all()
  if problem then return refuse(problem) end
  if target.kind == 'meta' then return judge_restore_meta(stored, fields) end
  local to = restored_state(target, fields)
  if next(stored) ~= nil then
    local from, differs = restored_state(target, stored), find_difference(stored, fields)
    if differs then
      return refuse('what is there differs in ' .. quote(differs) ..
                    ': restore never alters a record', from)
    end
    local ends = redis.call('PEXPIRETIME', KEYS[1])
    if ends ~= (tonumber(expected) or -1) then
      return refuse('what is there has another time to live: restore never alters it', from)
    end
    return {'SAME', 0, from, from, 'it is there already'}
  end
  if expected ~= '' and tonumber(expected) <= now * 1000 + math.floor(time[2] / 1000) then
    return {'SAME', 0, '', '', 'its time to live is over'}
  end
  local version = target.kind == 'cert' and fields.version or ''
  return {from = '', to = to, set = fields, record = {}, restores = true,
          ends = expected ~= '' and expected or nil,
          floor = is_number_to_restore(version) and version or nil}
end

local function write_log(seq, change)
  local entry = {'seq', seq, 'key', KEYS[1], 'from', change.from, 'to', change.to, 'by', by,
                 'note', note}
  if change.restores then entry[#entry + 1], entry[#entry + 2] = 'restored', 'yes' end
  for _, name in ipairs(change.restores and {} or LOGGED) do
    if change.set and change.set[name] then
      entry[#entry + 1] = name
      entry[#entry + 1] = change.set[name]
    end
  end
  redis.call('XADD', KEYS[3], 'MAXLEN', '~', LOG_ENTRIES_MAX, '*', unpack(entry))
end

-- The members that the indexes have for a record: {index, score, member}.
local function index_entries(prefix, fingerprint, change)
  local function fact(name) return change.set and change.set[name] or change.record[name] or '' end
  local device, spki, not_after, entries = fact('device'), fact('spki'), fact('not_after'), {}
  if is_device_id(device) then entries[1] = {'index:device', 0, device .. '/' .. fingerprint} end
  if is_digest(spki) then entries[#entries + 1] = {'index:spki', 0, spki .. '/' .. fingerprint} end
  if is_time(not_after) then entries[#entries + 1] = {'index:expiry', not_after, fingerprint} end
  for _, entry in ipairs(entries) do entry[1] = prefix .. entry[1] end
  return entries
end

-- What this change does to the indexes: they follow a record from its first transition on, and only
-- new facts and its deletion are news to them.
local function stale_entries(prefix, target, change)
  if target.kind ~= 'cert' then return {} end
  local news = change.delete or (change.record.version or '') == ''
  for _, fact in ipairs(FACTS) do news = news or change.set[fact] ~= nil end
  return news and index_entries(prefix, target.id, change) or {}
end

local function write_index(entry, delete)
  if delete then
    redis.call('ZREM', entry[1], entry[3])
  else
    redis.call('ZADD', entry[1], entry[2], entry[3])
  end
end

local function stamp(target, change, seq)
  local set = change.set
  if change.confirms then set.confirmed = seq end
  -- Brokers that know more than the backup see that there is one by a value they have not seen.
  if change.restores and target.kind == 'meta' then set.restored = now .. '-' .. seq end
  if target.kind == 'meta' or change.restores then return end
  set.updated_at, set.updated_by, set.note = now, by, note ~= '' and note or nil
  set.version = target.kind == 'cert' and seq or nil
end

local function write_hash(set)
  local arguments = {}
  for name, value in pairs(set) do
    arguments[#arguments + 1] = name
    arguments[#arguments + 1] = value
  end
  redis.call('HSET', KEYS[1], unpack(arguments))
end

-- The number of this change: behind all there were, those of a backup included.
local function next_seq(change)
  local floor = tonumber(change.floor or 0)
  if floor > (tonumber(redis.call('HGET', KEYS[2], 'seq') or 0) or 0) then
    redis.call('HSET', KEYS[2], 'seq', string.format('%.0f', floor))
  end
  return redis.call('HINCRBY', KEYS[2], 'seq', 1)
end

-- The one place that writes.
local function commit(prefix, target, change)
  local entries = stale_entries(prefix, target, change)
  for _, entry in ipairs(entries) do
    local problem = find_wrong_type(entry[1], 'zset')
    if problem then return refuse(problem, change.from) end
  end
  local expires = change.from ~= '' and not change.delete and redis.call('PTTL', KEYS[1]) >= 0
  local message = expires and 'its time to live is removed' or ''
  if dry_run then return {'OK', 0, change.from, change.to, message} end
  -- DEL and HDEL go first: Redis permits them when memory is full, and then the rest of the script
  -- too, so that a full Redis can still be told to turn a device off.
  if change.delete then
    redis.call('DEL', KEYS[1])
  elseif change.clear then
    redis.call('HDEL', KEYS[1], 'note', unpack(change.clear))
  end
  local seq = next_seq(change)
  if not change.delete then
    stamp(target, change, seq)
    write_hash(change.set)
    -- What was decided, above all a refusal, must not evaporate.
    if expires then redis.call('PERSIST', KEYS[1]) end
    if change.ends then redis.call('PEXPIREAT', KEYS[1], change.ends) end
  end
  for _, entry in ipairs(entries) do write_index(entry, change.delete) end
  write_log(seq, change)
  return {'OK', seq, change.from, change.to, message}
end

-- What is wrong with the arguments that all ops have; nil when nothing is.
local function find_bad_argument()
  if not TAKES[op] then return 'unknown operation ' .. quote(op) end
  if expected ~= '' and not expected:find('^%d+$') then
    return 'the expected version is not a number'
  end
  if op == 'restore' and #expected > SEQ_DIGITS_MAX then
    return 'the end of the time to live is not in Unix milliseconds'
  end
  if by == '' then return '`by` is empty: say who makes this change' end
  if not is_short_text(by) or not is_short_text(note) then
    return '`by` and `note` are at most 64 bytes of UTF-8 without control characters'
  end
  return nil
end

local function read_meta()
  local meta, _, problem = read_hash(KEYS[2], {'id', 'format', 'seq', 'device_id'})
  if problem then return nil, problem end
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
  problem = find_wrong_type(KEYS[3], 'stream')
  if problem then return refuse(problem) end
  local meta
  meta, problem = read_meta()
  if problem then return refuse(problem) end

  local change
  if op == 'restore' then
    change = judge_restore(target, fields)
  elseif target.kind == 'cert' then
    change = judge_cert(fields)
  elseif target.kind == 'block' then
    change = judge_block(fields)
  else
    change = (op == 'init' and judge_init or judge_confirm)(meta, fields)
  end
  if change[1] then return change end
  return commit(prefix, target, change)
end

return run()
