import { describe, expect, test } from 'vitest';
import { arpProbe, arpSender, echoReplySender, echoRequest, udpFrame } from './frames.ts';

const OURS = Uint8Array.of(0x52, 0x54, 0, 0, 0, 1);
const THEIRS = Uint8Array.of(0x52, 0x54, 0, 0, 0, 2);

/** What a receiver checks (RFC 1071): header or datagram and its sum add up to ones. */
function sumsUp(...parts: readonly Uint8Array[]): boolean {
  const all = Buffer.concat(parts);
  const even = all.length % 2 === 0 ? all : Buffer.concat([all, Uint8Array.of(0)]);
  let sum = 0;
  for (let at = 0; at < even.length; at += 2) sum += even.readUInt16BE(at);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return sum === 0xffff;
}

describe('a datagram in a frame', () => {
  test.each([0, 1, 2, 301, 548])('of %i bytes has the lengths and sums that receivers check', (bytes) => {
    const payload = Uint8Array.from({ length: bytes }, (_, index) => index * 7);
    const frame = Buffer.from(
      udpFrame(payload, {
        fromMac: OURS,
        toMac: THEIRS,
        from: { address: '10.0.0.1', port: 67 },
        to: { address: '10.0.0.9', port: 68 },
      }),
    );
    expect(frame.subarray(0, 14).toString('hex')).toBe('5254000000025254000000010800');
    const ip = frame.subarray(14, 34);
    const udp = frame.subarray(34);
    expect(ip.readUInt16BE(2)).toBe(frame.length - 14);
    expect(sumsUp(ip)).toBe(true);
    expect([udp.readUInt16BE(0), udp.readUInt16BE(2), udp.readUInt16BE(4)]).toEqual([67, 68, 8 + bytes]);
    expect(sumsUp(ip.subarray(12, 20), Uint8Array.of(0, 17), udp.subarray(4, 6), udp)).toBe(true);
    expect(udp.subarray(8)).toEqual(Buffer.from(payload));
  });
});

describe('ARP', () => {
  test('a probe asks for an address and claims none', () => {
    const frame = arpProbe(OURS, '10.0.0.9');
    expect(Buffer.from(frame).toString('hex')).toBe(
      `ffffffffffff52540000000108060001080006040001525400000001${'00'.repeat(10)}0a000009`,
    );
    expect(arpSender(frame)).toBeUndefined();
  });

  test('who answers is read; cut off and other frames are nobody', () => {
    const answer = Buffer.from(arpProbe(THEIRS, '10.0.0.1'));
    answer.set([0, 2], 20);
    answer.set([10, 0, 0, 9], 28);
    expect(arpSender(answer)).toEqual({ mac: '52:54:00:00:00:02', address: '10.0.0.9' });
    for (let length = 0; length < answer.length; length++) {
      expect(arpSender(answer.subarray(0, length))).toBeUndefined();
    }
    for (const at of [12, 15, 17, 18, 19]) {
      const other = Buffer.from(answer);
      other[at] = 0x77;
      expect(arpSender(other)).toBeUndefined();
    }
  });
});

describe('ICMP echo', () => {
  const replyTo = (request: Uint8Array): Buffer => {
    const ip = Buffer.alloc(20);
    ip[0] = 0x45;
    ip.set([10, 2, 0, 7], 12);
    const message = Buffer.from(request);
    message[0] = 0;
    return Buffer.concat([ip, message]);
  };

  test('the request sums up, and its reply names the sender', () => {
    const request = echoRequest(0xbeef);
    expect(sumsUp(request)).toBe(true);
    expect(echoReplySender(replyTo(request), 0xbeef)).toBe('10.2.0.7');
  });

  test('replies to others, requests, and packets cut off are nobody’s', () => {
    const reply = replyTo(echoRequest(1));
    expect(echoReplySender(reply, 2)).toBeUndefined();
    expect(echoReplySender(Buffer.concat([reply.subarray(0, 20), echoRequest(1)]), 1)).toBeUndefined();
    for (let length = 0; length < 28; length++) {
      expect(echoReplySender(reply.subarray(0, length), 1)).toBeUndefined();
    }
  });
});
