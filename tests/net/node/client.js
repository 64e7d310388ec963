// SPDX-License-Identifier: BSD-2-Clause
// client.js - npm's `ws` with a memory: what came is kept in order until somebody asks for it.
'use strict';

const assert = require('node:assert/strict');
const WebSocket = require('ws');

class Client {
	constructor(url, protocols = [], options = {}) {
		this.heard = [];
		this.waiting = [];
		this.socket = new WebSocket(url, protocols, {rejectUnauthorized: false, ...options});
		this.opened = new Promise((resolve, reject) => {
			this.socket.once('open', resolve);
			this.socket.once('error', reject);
		});
		this.socket.on('error', () => {});
		this.socket.on('message', (data, binary) => this._keep({data, binary}));
		this.socket.on('pong', data => this._keep({pong: data}));
		this.closed = new Promise(resolve => this.socket.once('close', (code, reason) => {
			resolve({code, reason: reason.toString()});
			this._keep({closed: code});
		}));
	}

	_keep(what) {
		if (this.waiting.length) this.waiting.shift()(what);
		else this.heard.push(what);
	}

	// The next thing that comes: {data, binary}, {pong} or {closed}.
	next() {
		if (this.heard.length) return Promise.resolve(this.heard.shift());
		return new Promise(resolve => this.waiting.push(resolve));
	}

	// The next message, which must be JSON in a text frame.
	async json() {
		const {data, binary, closed} = await this.next();
		assert.equal(closed, undefined, `closed with ${closed} where a message was expected`);
		assert.equal(binary, false);
		return JSON.parse(data);
	}

	// The next message, which must have these fields, and perhaps more.
	async expect(fields) {
		const message = await this.json();
		assert.deepEqual(Object.fromEntries(Object.keys(fields).map(k => [k, message[k]])), fields,
			`heard ${JSON.stringify(message)}`);
		return message;
	}

	say(message) {
		this.socket.send(JSON.stringify(message));
	}

	// Whatever the server had to say before it heard this has come: nothing but the pong is left.
	async quiet() {
		this.say({type: 'ping', id: 'quiet'});
		await this.expect({type: 'pong', id: 'quiet'});
	}

	close(code, reason) {
		this.socket.close(code, reason);
		return this.closed;
	}
}

// An open connection without words.
async function plain(url, protocols, options) {
	const c = new Client(url, protocols, options);
	await c.opened;
	return c;
}

// An open connection that was greeted.
async function native(url) {
	const c = await plain(url);
	c.id = (await c.expect({type: 'connected'})).clientId;
	return c;
}

module.exports = {Client, plain, native};
