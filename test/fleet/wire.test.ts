/** What the wire says of answers, held to a capture whose times are known. */

import { encodeDhcp, MESSAGE, OPTION } from '@overdub/lib-netboot';
import { expect, test } from 'vitest';
import { answerTimes } from './wire.ts';

const { discover, offer, request, ack } = MESSAGE;

/** A capture as tcpdump writes it: each message at a time in milliseconds, over a second's end too. */
function capture(...messages: readonly (readonly [at: number, xid: number, type: number])[]): Buffer {
  const header = Buffer.alloc(24);
  header.writeUInt32LE(0xa1b23c4d);
  const packets = messages.map(([at, xid, type]) => {
    const op = type === discover || type === request ? 1 : 2;
    const options = [[OPTION.messageType, Uint8Array.of(type)]] as const;
    const { bytes } = encodeDhcp({ op, htype: 1, xid, chaddr: new Uint8Array(6), options }, 1472);
    const frame = Buffer.concat([Buffer.alloc(14), Buffer.of(0x45), Buffer.alloc(19 + 8), bytes]);
    const record = Buffer.alloc(16);
    record.writeUInt32LE(1000 + Math.floor(at / 1000), 0);
    record.writeUInt32LE((at % 1000) * 1e6, 4);
    record.writeUInt32LE(frame.length, 8);
    return Buffer.concat([record, frame]);
  });
  return Buffer.concat([header, ...packets]);
}

test('an answer took as long as it followed the first message of its question', () => {
  const seen = answerTimes(
    capture([990, 1, discover], [1000, 2, discover], [1005, 1, offer], [1040, 2, offer]),
  );
  expect(seen.discover).toEqual({ answers: 2, p50: 40, p99: 40, max: 40 });
  expect(seen).toMatchObject({ repeated: 0, unanswered: 0, request: { answers: 0 } });
});

test('a question that is repeated counts from its first message, and its second answer does not', () => {
  const seen = answerTimes(
    capture([0, 1, request], [500, 1, request], [700, 1, ack], [701, 1, ack], [800, 2, request]),
  );
  expect(seen.request).toMatchObject({ answers: 1, max: 700 });
  expect(seen).toMatchObject({ answers: 1, repeated: 1, unanswered: 1 });
});

test('what is no capture is refused', () => {
  expect(() => answerTimes(Buffer.from('tcpdump: eth0: no such device'))).toThrow(/no pcap/);
});
