import { describe, expect, test } from 'vitest';
import { cleanBootName, decodeTftp } from './codec.ts';
import { negotiate } from './negotiate.ts';

const limits = { maxBlockBytes: 1468, maxWindow: 64, retryMs: 1000 };
const rrq = (...fields: string[]): Buffer =>
  Buffer.concat([Buffer.from([0, 1]), Buffer.from(fields.join('\0'), 'latin1')]);

describe('requests', () => {
  test('option names are case-insensitive, the last NUL may be missing', () => {
    const packet = decodeTftp(rrq('a.efi', 'OCTET', 'BlkSize', '1468', 'TSIZE', '0'));
    expect(packet).toMatchObject({ kind: 'read', name: 'a.efi', mode: 'octet' });
    if (packet.kind === 'read')
      expect([...packet.options]).toEqual([
        ['blksize', '1468'],
        ['tsize', '0'],
      ]);
  });
  test.each([
    ['empty', Buffer.alloc(0)],
    ['one byte', Buffer.from([0])],
    ['a request without mode', rrq('a')],
    ['a request without name', rrq('', 'octet', '')],
    ['an unknown opcode', Buffer.from([0, 9, 0, 0])],
  ])('%s is invalid, with a reason', (_, bytes) => {
    expect(decodeTftp(bytes)).toMatchObject({ kind: 'invalid', problem: expect.any(String) });
  });
  test('20,000 random datagrams decode to something', () => {
    for (let seed = 0; seed < 20_000; seed++) {
      const bytes = Uint8Array.from(
        { length: seed % 40 },
        (_, at) => (seed * 31 + at * 17 + (seed >> 3)) & 255,
      );
      bytes.set([0, seed % 7].slice(0, bytes.length));
      expect(decodeTftp(bytes).kind).toBeTruthy();
    }
  });
});

describe('negotiation', () => {
  const ask = (...options: [string, string][]) => negotiate(new Map(options), 1234, limits);
  test('no options: 512 bytes, one block, nothing to acknowledge', () => {
    expect(ask()).toMatchObject({ blockBytes: 512, window: 1, retryMs: 1000 });
    expect(ask().granted.size).toBe(0);
  });
  test('blksize is what the path carries, not 512', () => {
    expect(ask(['blksize', '1468']).blockBytes).toBe(1468);
    expect(ask(['blksize', '65464']).granted.get('blksize')).toBe('1468');
  });
  test('windowsize, timeout and tsize are answered', () => {
    const terms = ask(['tsize', '0'], ['windowsize', '200'], ['timeout', '3']);
    expect(terms).toMatchObject({ window: 64, retryMs: 3000 });
    expect([...terms.granted]).toEqual([
      ['tsize', '1234'],
      ['windowsize', '64'],
      ['timeout', '3'],
    ]);
  });
  test.each([
    ['blksize', '7'],
    ['blksize', '-1'],
    ['blksize', '1e3'],
    ['blksize', '99999999999'],
    ['windowsize', '0'],
    ['timeout', '0'],
    ['multicast', ''],
  ])('%s=%s is left out of the answer', (name, value) => expect(ask([name, value]).granted.size).toBe(0));
  test('a window of large blocks stays within half a megabyte', () => {
    const terms = negotiate(
      new Map([
        ['blksize', '65464'],
        ['windowsize', '64'],
      ]),
      1,
      { ...limits, maxBlockBytes: 65464 },
    );
    expect(terms.window * terms.blockBytes).toBeLessThanOrEqual(512 * 1024);
  });
});

describe('names', () => {
  test.each([
    ['/ipxe/ipxe.efi', 'ipxe/ipxe.efi'],
    ['ipxe\\ipxe.efi', 'ipxe/ipxe.efi'],
    ['//ipxe/./ipxe.efi', 'ipxe/ipxe.efi'],
    ['ipxe/ipxe.efi\u00ff', 'ipxe/ipxe.efi'],
    ['a..b', 'a..b'],
  ])('%j means %j', (raw, name) => expect(cleanBootName(raw)).toBe(name));
  test.each([
    '..',
    '../etc/passwd',
    'a/../../b',
    'a\\..\\b',
    '/',
    '',
    'a\nb',
    '\u0000',
    'x'.repeat(513),
    '\u00ff',
  ])('%j is refused', (raw) => expect(cleanBootName(raw)).toBeUndefined());
});
