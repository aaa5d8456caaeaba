/** A request that is refused before its body was read takes nothing with it. */

import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { Agent, type ClientRequest, type IncomingMessage, request } from 'node:http';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { World } from './agent-world.ts';

/** The kernel takes it from the sender at once, though nobody reads it. */
const SENT_UNREAD_BYTES = 1_000_000;

let world: World;
let connection: Agent;
beforeEach(async () => {
  world = await World.create();
  connection = new Agent({ keepAlive: true, maxSockets: 1 });
});
afterEach(async () => {
  connection.destroy();
  await world.end();
});

function post(path: string, type: string): ClientRequest {
  const headers = { 'content-type': type };
  return request(`${world.url}/agent/v1/${path}`, { method: 'POST', agent: connection, headers });
}

async function statusOf(sent: ClientRequest): Promise<number | undefined> {
  const [answer] = (await once(sent, 'response')) as [IncomingMessage];
  answer.resume();
  await once(answer, 'end');
  return answer.statusCode;
}

it('the next request on its connection is answered', async () => {
  for (const path of ['transfers/none/upload', 'images/fetch']) {
    const upload = post(path, 'application/vnd.overdub.frames+zstd');
    upload.setHeader('content-length', SENT_UNREAD_BYTES);
    upload.end(randomBytes(SENT_UNREAD_BYTES));
    const [status] = await Promise.all([statusOf(upload), once(upload, 'finish')]);
    expect(status).toBe(401);
    const hello = post('hello', 'application/json');
    hello.end('{}');
    expect(await statusOf(hello)).toBe(400);
    expect(hello.reusedSocket).toBe(true);
  }
});
