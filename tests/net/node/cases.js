// SPDX-License-Identifier: BSD-2-Clause
// cases.js BASE CASE - one case against the edge at BASE (ws://127.0.0.1:8080); exit code 0 if it
// holds. Without a case it lists them. Each is a sentence about what npm's `ws` sees.
'use strict';

const assert = require('node:assert/strict');
const crypto = require('node:crypto');

const [, , base, wanted] = process.argv;
const cases = {};

// ---- frames: /echo ----------------------------------------------------------------------------

async function echoes(c, data, binary) {
	c.socket.send(data, {binary});
	const got = await c.next();
	assert.equal(got.binary, binary);
	assert.ok(Buffer.from(data).equals(got.data), `${data.length} bytes differ`);
}

cases.text_comes_back_as_it_was = async ({plain}) => {
	const c = await plain(`${base}/echo`);
	for (const text of ['', 'a', 'grüße 👋🏽', '\u0000\u007f\uffff', 'x'.repeat(125), 'y'.repeat(126),
		'z'.repeat(65535), 'ö'.repeat(32768), 'w'.repeat(102400)])
		await echoes(c, Buffer.from(text), false);
};

cases.binary_comes_back_as_it_was = async ({plain}) => {
	const c = await plain(`${base}/echo`);
	for (const n of [0, 1, 125, 126, 127, 65535, 65536, 102400])
		await echoes(c, crypto.randomBytes(n), true);
};

cases.fragments_become_one_message = async ({plain}) => {
	const c = await plain(`${base}/echo`);
	for (const cuts of [1, 2, 7, 100]) {
		for (const binary of [false, true]) {
			for (let i = 0; i < cuts; i++) c.socket.send(`piece ${i} ö;`, {binary, fin: false});
			c.socket.send('end', {binary, fin: true});
			const {data, binary: asBinary} = await c.next();
			assert.equal(asBinary, binary);
			assert.equal(data.toString(), [...Array(cuts).keys()].map(i => `piece ${i} ö;`).join('') + 'end');
		}
	}
};

cases.a_character_may_be_cut_by_fragments = async ({plain}) => {
	const c = await plain(`${base}/echo`);
	const wave = Buffer.from('👋');
	for (let i = 0; i < wave.length; i++)
		c.socket.send(wave.subarray(i, i + 1), {binary: false, fin: i === wave.length - 1});
	assert.equal((await c.next()).data.toString(), '👋');
};

cases.a_ping_between_fragments_is_answered_at_once = async ({plain}) => {
	const c = await plain(`${base}/echo`);
	c.socket.send('one', {fin: false});
	c.socket.ping('between');
	assert.equal((await c.next()).pong.toString(), 'between');
	c.socket.send('two', {fin: true});
	assert.equal((await c.next()).data.toString(), 'onetwo');
};

cases.a_ping_comes_back_with_its_payload = async ({plain}) => {
	const c = await plain(`${base}/echo`);
	for (const n of [0, 1, 125]) {
		const payload = crypto.randomBytes(n);
		c.socket.ping(payload);
		assert.ok(payload.equals((await c.next()).pong));
	}
};

cases.many_messages_at_once_keep_their_order = async ({plain}) => {
	const c = await plain(`${base}/echo`);
	for (let i = 0; i < 5000; i++) c.socket.send(`${i}`);
	for (let i = 0; i < 5000; i++) assert.equal((await c.next()).data.toString(), `${i}`);
};

cases.compression_is_declined = async ({plain}) => {
	const c = await plain(`${base}/echo`, [], {perMessageDeflate: true});
	assert.equal(c.socket.extensions, '');
	await echoes(c, Buffer.from('plain '.repeat(1000)), false);
};

cases.compression_is_agreed_on_where_it_is_switched_on = async ({plain, Client}) => {
	const offers = [true, {serverMaxWindowBits: 12}, {serverNoContextTakeover: true, clientNoContextTakeover: true},
		{clientMaxWindowBits: 9}, {threshold: 0}];
	for (const perMessageDeflate of offers) {
		const a = await plain(`${base}/deflate`, [], {perMessageDeflate});
		assert.equal(a.socket.extensions, 'permessage-deflate');
		assert.equal((await a.close(1000)).code, 1000);
	}
	const small = await plain(`${base}/deflate`, [], {perMessageDeflate: {serverMaxWindowBits: 9}});
	assert.equal(small.socket.extensions, '');
	const none = await plain(`${base}/deflate`, [], {perMessageDeflate: false});
	assert.equal(none.socket.extensions, '');
};

// Everybody hears the same in the same order, whatever he has agreed on.
cases.compressed_and_plain_clients_hear_the_same = async ({plain}) => {
	const ears = [];
	for (const perMessageDeflate of [{threshold: 0}, true, false, {serverMaxWindowBits: 13}])
		ears.push(await plain(`${base}/deflate`, [], {perMessageDeflate}));
	const [from, ...others] = ears;
	for (let there = false; !there;) { // a subscription is under way when the upgrade is answered
		from.socket.send('there?');
		await new Promise(done => setTimeout(done, 20));
		there = others.every(c => c.heard.length > 0);
	}
	from.socket.send('now');
	for (const c of others) while ((await c.next()).data.toString() !== 'now');
	const texts = ['', 'a', 'ö'.repeat(600), 'x'.repeat(1023), 'x'.repeat(1024), 'grüße 👋🏽 '.repeat(500),
		JSON.stringify([...Array(500).keys()].map(id => ({id, price: id * 7919 % 1000}))), 'w'.repeat(102400)];
	for (let round = 0; round < 20; round++) for (const text of texts) from.socket.send(text);
	from.socket.send(crypto.randomBytes(50000), {binary: true});
	for (const c of others) {
		for (let round = 0; round < 20; round++)
			for (const text of texts) assert.equal((await c.next()).data.toString(), text);
		assert.equal((await c.next()).data.length, 50000);
	}
};

cases.compressed_fragments_become_one_message = async ({plain}) => {
	const [a, b] = [await plain(`${base}/deflate`, [], {perMessageDeflate: {threshold: 0}}),
		await plain(`${base}/deflate`)];
	for (let there = false; !there;) {
		a.socket.send('there?');
		await new Promise(done => setTimeout(done, 20));
		there = b.heard.length > 0;
	}
	for (const part of ['one ', 'two ö ', ''.padEnd(5000, 'three ')]) a.socket.send(part, {fin: false, compress: true});
	a.socket.ping('between');
	a.socket.send('end', {fin: true, compress: true});
	let got;
	do got = (await b.next()).data.toString(); while (got === 'there?');
	assert.equal(got, `one two ö ${''.padEnd(5000, 'three ')}end`);
};

cases.a_subprotocol_is_agreed = async ({plain, Client}) => {
	const c = await plain(`${base}/sub`, ['v9.chat', 'v1.chat']);
	assert.equal(c.socket.protocol, 'v1.chat');
	await assert.rejects(new Client(`${base}/echo`, ['v1.chat']).opened, /no subprotocol/);
};

cases.an_unknown_path_is_404 = async ({Client}) => {
	await assert.rejects(new Client(`${base}/nowhere`).opened, /404/);
};

cases.a_foreign_origin_is_403 = async ({Client, plain}) => {
	await plain(`${base}/strict`, [], {origin: 'https://good.example'});
	await plain(`${base}/strict`);
	await assert.rejects(new Client(`${base}/strict`, [], {origin: 'https://evil.example'}).opened, /403/);
};

// ---- closing ------------------------------------------------------------------------------------

cases.close_codes_are_answered_with_the_same = async ({plain}) => {
	for (const code of [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 4999]) {
		const c = await plain(`${base}/echo`);
		assert.equal((await c.close(code, 'bye ö')).code, code);
	}
};

cases.a_close_without_a_code_is_answered_without_one = async ({plain}) => {
	const c = await plain(`${base}/echo`);
	assert.equal((await c.close()).code, 1005);
};

cases.what_was_sent_before_the_close_is_answered = async ({plain}) => {
	const c = await plain(`${base}/echo`);
	for (let i = 0; i < 100; i++) c.socket.send(`${i}`);
	assert.equal((await c.close(1000)).code, 1000);
	assert.equal(c.heard.filter(h => h.data).length, 100);
};

const closing = (code, say) => async ({plain}) => {
	const c = await plain(`${base}/echo`);
	say(c.socket);
	assert.equal((await c.closed).code, code);
};
cases.text_that_is_not_utf8_is_1007 = closing(1007, s => s.send(Buffer.from([0xc3, 0x28]), {binary: false}));
cases.text_that_ends_within_a_character_is_1007 = closing(1007, s => s.send(Buffer.from([0xe2, 0x82]), {binary: false}));
cases.a_message_too_big_is_1009 = closing(1009, s => s.send(Buffer.alloc(102401)));
cases.fragments_too_big_together_are_1009 = closing(1009, s => {
	for (let i = 0; i < 3; i++) s.send(Buffer.alloc(40000), {fin: false});
});
cases.a_frame_that_is_not_masked_is_1002 = closing(1002, s => s.send('naked', {mask: false}));
cases.a_continuation_of_nothing_is_1002 = closing(1002, s => s._socket.write(Buffer.from([0x80, 0x80, 0, 0, 0, 0])));
cases.an_unknown_opcode_is_1002 = closing(1002, s => s._socket.write(Buffer.from([0x83, 0x80, 0, 0, 0, 0])));
cases.a_reserved_bit_is_1002 = closing(1002, s => s._socket.write(Buffer.from([0xc1, 0x80, 0, 0, 0, 0])));

cases.a_message_may_be_half_way_when_the_peer_is_gone = async ({plain}) => {
	const c = await plain(`${base}/echo`);
	c.socket.send('never to be continued', {fin: false});
	c.socket.terminate();
	assert.equal((await c.closed).code, 1006);
	await echoes(await plain(`${base}/echo`), Buffer.from('still there'), false);
};

// ---- the native protocol: /ws -------------------------------------------------------------------

cases.the_greeting_has_a_uuid_the_time_and_the_heartbeat = async ({plain}) => {
	const c = await plain(`${base}/ws`);
	const m = await c.json();
	assert.deepEqual(Object.keys(m), ['type', 'clientId', 'timestamp', 'heartbeat']);
	assert.match(m.clientId, /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
	assert.ok(Math.abs(m.timestamp - Date.now()) < 5000);
	assert.equal(m.heartbeat, 25000);
};

cases.ping_is_answered_and_ids_come_back = async ({native}) => {
	const c = await native(`${base}/ws`);
	c.say({type: 'ping'});
	const pong = await c.expect({type: 'pong'});
	assert.ok(!('id' in pong) && Math.abs(pong.timestamp - Date.now()) < 5000);
	for (const id of [0, -1.5, 'x', 'ö"\\', '']) {
		c.say({type: 'ping', id});
		await c.expect({type: 'pong', id});
	}
};

cases.what_is_no_message_is_told_so_and_nothing_else_happens = async ({native}) => {
	const c = await native(`${base}/ws`);
	for (const text of ['nonsense', '[]', '{}', '{"type":1}', '{"type":"ping"']) {
		c.socket.send(text);
		await c.expect({type: 'error', message: 'Invalid message format', code: 'invalid_format'});
	}
	c.socket.send(Buffer.from([9, 9, 9]));
	await c.expect({type: 'error', code: 'invalid_format'});
	c.say({type: 'teleport', id: 3});
	await c.expect({type: 'error', message: 'Unknown message type', code: 'unknown_type', id: 3});
	c.say({type: 'publish', channel: 'a', id: 4});
	await c.expect({type: 'error', code: 'missing_field', field: 'data', id: 4});
	c.say({type: 'subscribe', channel: 'a\nb'});
	await c.expect({type: 'error', message: 'Invalid channel', code: 'invalid_channel'});
	c.say({type: 'subscribe', channel: 'user:someone'});
	await c.expect({type: 'error', message: 'Insufficient permissions', code: 'forbidden'});
	await c.quiet();
};

cases.bytes_come_as_bytes_to_who_takes_them = async ({native}) => {
	const channel = `bytes-${crypto.randomUUID()}`;
	const [text, ear] = [await native(`${base}/ws`), await native(`${base}/ws`)];
	text.say({type: 'subscribe', channel});
	await text.expect({type: 'subscribed'});
	ear.say({type: 'subscribe', channel, binary: true});
	await ear.expect({type: 'subscribed'});
	const head = Buffer.from([1, channel.length, ...Buffer.from(channel)]), payload = crypto.randomBytes(5000);
	for (let offset = 1; offset <= 3; offset++) {
		text.socket.send(Buffer.concat([head, payload]));
		await text.expect({type: 'message', offset, data: {base64: payload.toString('base64')}});
		const {data, binary} = await ear.next();
		const place = Buffer.alloc(8);
		place.writeBigUInt64BE(BigInt(offset));
		assert.ok(binary);
		assert.deepEqual(data, Buffer.concat([head, place, payload]));
	}
};

cases.rooms_tell_who_comes_speaks_and_goes = async ({native}) => {
	const room = `room-${crypto.randomUUID()}`;
	const [a, b, c] = [await native(`${base}/ws`), await native(`${base}/ws`), await native(`${base}/ws`)];
	a.say({type: 'join_room', room});
	assert.deepEqual(await a.json(), {type: 'joined_room', room, onlineCount: 1});
	b.say({type: 'join_room', room, id: 'j'});
	assert.deepEqual(await b.json(), {type: 'joined_room', id: 'j', room, onlineCount: 2});
	assert.deepEqual(await a.json(), {type: 'user_joined', room, userId: b.id});

	c.say({type: 'broadcast_room', room, content: 1});
	await c.expect({type: 'error', code: 'not_subscribed', message: 'Not in this room'});
	c.say({type: 'join_room', room});
	await c.expect({type: 'joined_room', onlineCount: 3});
	await a.expect({type: 'user_joined', userId: c.id});
	await b.expect({type: 'user_joined', userId: c.id});

	a.say({type: 'broadcast_room', room, content: {text: 'hi', n: [1.50, null]}, id: 1});
	for (const other of [b, c]) {
		const m = await other.expect({type: 'room_message', room, from: a.id, content: {text: 'hi', n: [1.5, null]}});
		assert.ok(Math.abs(m.timestamp - Date.now()) < 5000);
	}
	await a.expect({type: 'published', id: 1, channel: room});
	await a.quiet(); // one does not hear oneself

	b.say({type: 'leave_room', room, id: 2});
	assert.deepEqual(await b.json(), {type: 'left_room', id: 2, room});
	for (const other of [a, c]) await other.expect({type: 'user_left', room, userId: b.id});
	b.say({type: 'leave_room', room});
	await b.expect({type: 'left_room', room});
	c.socket.terminate();
	await a.expect({type: 'user_left', room, userId: c.id});
	a.say({type: 'broadcast_room', room, content: 'anybody?'});
	await b.quiet();
	await a.quiet();
};

cases.words_need_not_wait_for_answers = async ({native}) => {
	const [a, b] = [await native(`${base}/ws`), await native(`${base}/ws`)];
	for (let round = 0; round < 20; round++) {
		const room = `p-${crypto.randomUUID()}`;
		b.say({type: 'join_room', room});
		await b.expect({type: 'joined_room', onlineCount: 1});
		a.say({type: 'join_room', room, id: 1});
		a.say({type: 'broadcast_room', room, content: round, id: 2});
		a.say({type: 'leave_room', room, id: 3});
		a.say({type: 'broadcast_room', room, content: 'from outside', id: 4});
		const got = [];
		for (let i = 0; i < 4; i++) got.push(await a.json());
		const place = id => got.findIndex(m => m.id === id);
		assert.deepEqual(got.map(m => m.id).sort(), [1, 2, 3, 4]);
		assert.ok(place(1) < place(2) && place(2) < place(3), JSON.stringify(got));
		assert.equal(got[place(4)].code, 'not_subscribed');
		await b.expect({type: 'user_joined', userId: a.id});
		await b.expect({type: 'room_message', content: round, from: a.id});
		await b.expect({type: 'user_left', userId: a.id});
	}
};

cases.the_last_words_before_the_end_are_heard = async ({native, plain}) => {
	const channel = `last-${crypto.randomUUID()}`;
	const a = await native(`${base}/ws`);
	a.say({type: 'subscribe', channel});
	await a.expect({type: 'subscribed'});
	for (let i = 0; i < 20; i++) {
		const b = await plain(`${base}/ws`);
		b.say({type: 'publish', channel, data: i});
		b.socket.close(1000);
		await a.expect({type: 'message', data: i});
	}
};

cases.channels_reach_all_subscribers_and_the_publisher = async ({native}) => {
	const channel = `news-${crypto.randomUUID()}`;
	const [a, b] = [await native(`${base}/ws`), await native(`${base}/ws`)];
	a.say({type: 'subscribe', channel, id: 1, presence: true});
	const first = await a.expect({type: 'subscribed', id: 1, channel, onlineCount: 1});
	assert.match(first.epoch, /^[0-9a-f]{1,16}$/);
	b.say({type: 'subscribe', channel});
	const second = await b.expect({type: 'subscribed', channel, epoch: first.epoch, offset: first.offset});
	assert.ok(!('onlineCount' in second) && !('recovered' in second));
	b.say({type: 'publish', channel, data: {n: 1}, id: 'p'});
	const heard = [];
	for (let i = 0; i < 2; i++) heard.push(await b.json());
	heard.sort((x, y) => (x.type < y.type ? -1 : 1));
	assert.deepEqual(heard[1], {type: 'published', id: 'p', channel, offset: first.offset + 1});
	for (const m of [heard[0], await a.json()]) {
		assert.deepEqual({...m, timestamp: 0}, {type: 'message', channel, data: {n: 1}, clientId: b.id,
			timestamp: 0, offset: first.offset + 1});
	}
	b.say({type: 'unsubscribe', channel, id: 9});
	await b.expect({type: 'unsubscribed', id: 9, channel});
	a.say({type: 'publish', channel, data: 2});
	await a.expect({type: 'message', data: 2, offset: first.offset + 2});
	await b.quiet();
};

cases.several_channels_in_one_go = async ({native}) => {
	const c = await native(`${base}/ws`);
	const channels = ['a', 'b', 'c'].map(x => `${x}-${crypto.randomUUID()}`);
	c.say({type: 'subscribe', channels, id: 1});
	const got = [];
	for (let i = 0; i < 3; i++) got.push((await c.expect({type: 'subscribed', id: 1})).channel);
	assert.deepEqual(got.sort(), channels.sort());
	for (const channel of channels) {
		c.say({type: 'publish', channel, data: channel});
		await c.expect({type: 'message', channel, data: channel});
	}
};

cases.join_and_leave_are_told_where_asked_for = async ({native}) => {
	const channel = `j-${crypto.randomUUID()}`;
	const [a, b, quiet] = [await native(`${base}/ws`), await native(`${base}/ws`), await native(`${base}/ws`)];
	quiet.say({type: 'subscribe', channel});
	await quiet.expect({type: 'subscribed'});
	a.say({type: 'subscribe', channel, joinLeave: true});
	await a.expect({type: 'subscribed'});
	b.say({type: 'subscribe', channel, joinLeave: true});
	await b.expect({type: 'subscribed'});
	assert.deepEqual(await a.json(), {type: 'join', channel, clientId: b.id});
	await b.close(1000);
	assert.deepEqual(await a.json(), {type: 'leave', channel, clientId: b.id});
	await quiet.quiet();
};

cases.data_passes_byte_for_byte = async ({native}) => {
	const channel = `raw-${crypto.randomUUID()}`;
	const c = await native(`${base}/ws`);
	c.say({type: 'subscribe', channel});
	await c.expect({type: 'subscribed'});
	const data = '{"b": 1e2,"a":0.10,"big":9007199254740993,"\\u00e4":"\\ud83d","a":[ ]}';
	c.socket.send(`{"type":"publish","channel":"${channel}","data":${data}}`);
	const got = (await c.next()).data.toString();
	assert.ok(got.includes(`"data":${data},`), got);
};

cases.each_hears_it_in_its_own_words = async ({native}) => {
	const name = `both-${crypto.randomUUID()}`;
	const [channel, room, third] = [await native(`${base}/ws`), await native(`${base}/ws`), await native(`${base}/ws`)];
	channel.say({type: 'subscribe', channel: name});
	await channel.expect({type: 'subscribed'});
	room.say({type: 'join_room', room: name});
	await room.expect({type: 'joined_room', onlineCount: 2});
	third.say({type: 'publish', channel: name, data: 'x'});
	await channel.expect({type: 'message', channel: name, data: 'x', clientId: third.id});
	await room.expect({type: 'room_message', room: name, content: 'x', from: third.id});
	room.say({type: 'broadcast_room', room: name, content: 'y'});
	await channel.expect({type: 'message', channel: name, data: 'y', clientId: room.id});
	await third.quiet();
};

cases.the_lobby_hears_chat_and_typing = async ({native}) => {
	const [a, b] = [await native(`${base}/lobby`), await native(`${base}/lobby`)];
	await a.quiet();
	await b.quiet();
	a.say({type: 'chat', text: 'hello', evil: 1});
	for (const c of [a, b]) {
		const m = await c.json();
		assert.deepEqual({...m, timestamp: 0}, {type: 'chat', from: a.id, text: 'hello', timestamp: 0});
	}
	a.say({type: 'typing'});
	await b.expect({type: 'typing', from: a.id});
	await a.quiet();
	b.say({type: 'subscribe', channel: 'lobby'}); // from now on in channel words
	await b.expect({type: 'subscribed', channel: 'lobby'});
	a.say({type: 'chat', text: 'again'});
	await b.expect({type: 'message', channel: 'lobby', data: {text: 'again'}, clientId: a.id});
	await a.expect({type: 'chat', text: 'again'});
	a.say({type: 'chat'});
	await a.expect({type: 'error', code: 'missing_field', field: 'text'});
};

cases.binary_is_published_and_heard_as_base64 = async ({native}) => {
	const channel = `bin-${crypto.randomUUID()}`;
	const [a, b] = [await native(`${base}/ws`), await native(`${base}/ws`)];
	a.say({type: 'subscribe', channel});
	await a.expect({type: 'subscribed'});
	for (const n of [0, 1, 2, 3, 1000]) {
		const payload = crypto.randomBytes(n);
		b.socket.send(Buffer.concat([Buffer.from([1, channel.length]), Buffer.from(channel), payload]));
		const m = await a.expect({type: 'message', channel, clientId: b.id});
		assert.deepEqual(m.data, {base64: payload.toString('base64')});
	}
};

cases.a_relay_passes_everything_on_to_the_others = async ({plain}) => {
	const all = [await plain(`${base}/relay`), await plain(`${base}/relay`), await plain(`${base}/relay`)];
	// they know of each other once one's word has reached the rest
	for (let ready = false; !ready;) {
		all[0].socket.send('ready?');
		await new Promise(resolve => setTimeout(resolve, 50));
		ready = all.slice(1).every(c => c.heard.some(h => h.data));
	}
	const last = (async c => { while ((await c.next()).data.toString() !== 'now') ; });
	all[0].socket.send('now');
	await Promise.all(all.slice(1).map(last));
	for (const [data, binary] of [['{"any": [json]', false], ['', false], ['ö', false], [Buffer.from([1, 255, 0]), true]]) {
		all[1].socket.send(data, {binary});
		for (const c of [all[0], all[2]]) {
			const got = await c.next();
			assert.equal(got.binary, binary);
			assert.ok(Buffer.from(data).equals(got.data));
		}
	}
	all[2].socket.send('last');
	for (const c of [all[0], all[1]]) assert.equal((await c.next()).data.toString(), 'last');
};

cases.spaces_do_not_hear_of_each_other = async ({native}) => {
	const channel = `s-${crypto.randomUUID()}`;
	const [a, b] = [await native(`${base}/ws`), await native(`${base}/lobby`)];
	for (const c of [a, b]) {
		c.say({type: 'subscribe', channel});
		await c.expect({type: 'subscribed'});
	}
	b.say({type: 'publish', channel, data: 1});
	await b.expect({type: 'message', data: 1});
	await a.quiet();
};

// ---- limits ---------------------------------------------------------------------------------------

cases.who_speaks_too_fast_is_told_when_to_go_on = async ({native}) => {
	const c = await native(`${base}/slow`); // 5 a second, 5 at once
	for (let i = 0; i < 5; i++) {
		c.say({type: 'ping', id: i});
		await c.expect({type: 'pong', id: i});
	}
	c.say({type: 'ping', id: 'over'});
	const m = await c.expect({type: 'error', message: 'Rate limit exceeded', code: 'rate_limited', id: 'over'});
	assert.ok(m.retryAfter > 0 && m.retryAfter <= 200, `retryAfter ${m.retryAfter}`);
	await new Promise(resolve => setTimeout(resolve, m.retryAfter + 20));
	c.say({type: 'ping', id: 'after'});
	await c.expect({type: 'pong', id: 'after'});
};

cases.who_does_not_listen_to_that_is_closed = async ({native}) => {
	const c = await native(`${base}/slow`);
	for (let i = 0; i < 200; i++) c.say({type: 'ping'});
	assert.deepEqual(await c.closed, {code: 1008, reason: 'Rate limit exceeded'});
};

cases.too_much_nonsense_is_closed = async ({native}) => {
	const c = await native(`${base}/few`); // 5 a minute
	for (let i = 0; i < 12; i++) c.socket.send('nonsense'); // a minute may end in between
	assert.deepEqual(await c.closed, {code: 1008, reason: 'Too many invalid messages'});
};

cases.subscriptions_are_bounded = async ({native}) => {
	const c = await native(`${base}/few`); // 3
	for (const channel of ['a', 'b', 'c']) {
		c.say({type: 'subscribe', channel});
		await c.expect({type: 'subscribed', channel});
	}
	c.say({type: 'join_room', room: 'd'});
	await c.expect({type: 'error', message: 'Too many subscriptions', code: 'too_many_subscriptions'});
	c.say({type: 'unsubscribe', channel: 'b'});
	await c.expect({type: 'unsubscribed'});
	c.say({type: 'join_room', room: 'd'});
	await c.expect({type: 'joined_room'});
};

// ---- shutdown: the caller stops the edge once it has read READY ---------------------------------------

cases.at_shutdown_everybody_is_closed_with_1001 = async ({plain, native}) => {
	const all = [];
	for (const path of ['echo', 'relay']) all.push(await plain(`${base}/${path}`));
	for (let i = 0; i < 20; i++) all.push(await native(`${base}/ws`));
	console.log('READY');
	for (const c of all) assert.deepEqual(await c.closed, {code: 1001, reason: 'Server shutting down'});
};

if (!wanted) {
	console.log(Object.keys(cases).join('\n'));
} else {
	cases[wanted](require('./client.js')).then(() => process.exit(0), error => {
		console.error(error);
		process.exit(1);
	});
}
