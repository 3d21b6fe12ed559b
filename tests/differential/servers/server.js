// SPDX-License-Identifier: MIT
// usage: server.js PORT TIMEOUT_MS
'use strict';
const http = require('http');

const [port, timeoutMs] = process.argv.slice(2).map(Number);
const BIG = Buffer.alloc(8 << 20, 'b');
const TICK_MS = 700;

function tick(response, number, count) {
	if (number > count)
		return response.end();
	response.write(`tick-${number}\n`);
	setTimeout(tick, TICK_MS, response, number + 1, count);
}

function receive(request, response) {
	let length = 0;
	request.on('data', (data) => { length += data.length; });
	request.on('end', () => response.end(`${length} received\n`));
}

const routes = {
	'/small': (_, response) => response.end('small\n'),
	'/big': (_, response) => response.end(BIG),
	'/drip': (_, response) => tick(response, 1, 4),
	'/push': (_, response) => tick(response, 1, 10),
	'/later': (_, response) => setTimeout(() => response.end('later\n'), 2000),
	'/upload': receive,
};

const server = http.createServer({ connectionsCheckingInterval: 100 }, (request, response) =>
	routes[request.url](request, response));
server.keepAliveTimeout = timeoutMs;
server.headersTimeout = timeoutMs;
server.requestTimeout = timeoutMs;
server.listen(port, '::');
