import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { parseIpv6 } from '../ipv6.ts';
import { decodeDhcp6, encodeDhcp6, MESSAGE6, type Message6, OPTION6, type RelayMessage6 } from './codec.ts';
import { architectures6, associations6, macOf6, requested6, userClasses6, vendorClass6 } from './fields.ts';

const bytes = (hex: string): Uint8Array => Uint8Array.from(Buffer.from(hex.replaceAll(' ', ''), 'hex'));
const options = fc.array(fc.tuple(fc.nat(0xffff), fc.uint8Array({ maxLength: 40 })), { maxLength: 8 });
const readAll = (message: Message6 | RelayMessage6): void => {
  const { options: all } = message;
  architectures6(all);
  associations6(all);
  requested6(all);
  userClasses6(all);
  vendorClass6(all);
  const mac = macOf6(all, 'peer' in message ? message.peer : undefined, all);
  if (mac !== undefined) expect(mac).toMatch(/^([0-9a-f]{2}:){5}[0-9a-f]{2}$/);
};

test('messages come back as they were', () => {
  fc.assert(
    fc.property(fc.constantFrom(1, 2, 3, 7, 11, 200), fc.nat(0xffffff), options, (type, transaction, all) => {
      const message = { type, transaction, options: all };
      expect(decodeDhcp6(encodeDhcp6(message))).toEqual(message);
    }),
  );
});

test('so do relays’', () => {
  const [link, peer] = [parseIpv6('fd00::1') as Uint8Array, parseIpv6('fe80::5') as Uint8Array];
  const message = {
    type: MESSAGE6.relayForward,
    hops: 2,
    link,
    peer,
    options: [[9, Uint8Array.of(1)] as const],
  };
  expect(decodeDhcp6(encodeDhcp6(message))).toEqual(message);
});

test('any bytes are a message or none, and all that is read of it makes no exception', () => {
  const check = (input: Uint8Array): void => {
    const message = decodeDhcp6(input);
    if (message !== undefined) readAll(message);
  };
  fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), check), { numRuns: 5000 });
  fc.assert(
    fc.property(options, fc.array(fc.tuple(fc.nat(300), fc.nat(255)), { maxLength: 6 }), (all, changes) => {
      const input = encodeDhcp6({ type: 1, transaction: 7, options: all });
      for (const [at, value] of changes) input[at % input.length] = value;
      check(input);
    }),
    { numRuns: 3000 },
  );
});

test.each(['', '01', '010000', '01 000001 0001 0005 00', '0c 00 00', '01 000001 00'])(
  '%j is no message',
  (hex) => expect(decodeDhcp6(bytes(hex))).toBeUndefined(),
);

describe('fields', () => {
  test('architectures, classes and wishes', () => {
    expect(architectures6([[OPTION6.clientArchitecture, bytes('0010 0007')]])).toEqual([16, 7]);
    expect(requested6([[OPTION6.requested, bytes('003b 003c')]])).toEqual(new Set([59, 60]));
    expect(userClasses6([[OPTION6.userClass, bytes('0004 69505845')]])).toEqual(['iPXE']);
    expect(vendorClass6([[OPTION6.vendorClass, bytes('00000157 0003 414243')]])).toBe('ABC');
  });

  test('associations with the addresses they name', () => {
    const address = `0005 0018 fd000000000000000000000000000009 00000000 00000000`;
    const value = bytes(`00000001 00000000 00000000 ${address}`);
    expect(associations6([[OPTION6.iaNa, value]])).toEqual([
      { iaid: bytes('00000001'), addresses: [parseIpv6('fd00::9')] },
    ]);
  });

  const LLT = bytes('0001 0001 2b000000 525400aabb01');
  test.each<[string, string | undefined, readonly (readonly [number, Uint8Array])[], string | undefined]>([
    ['its relay says', 'fe80::5054:ff:fe12:3456', [[79, bytes('0001 525400aabbcc')]], '52:54:00:aa:bb:cc'],
    ['its link-local address', 'fe80::5054:ff:fe12:3456', [], '52:54:00:12:34:56'],
    ['its DUID, where the address tells nothing', 'fe80::1', [], '52:54:00:aa:bb:01'],
    ['its DUID, from a global address', 'fd00::5054:ff:fe12:3456', [], '52:54:00:aa:bb:01'],
  ])('the MAC address is what %s', (_, peer, relayed, mac) =>
    expect(macOf6([[OPTION6.clientId, LLT]], parseIpv6(peer ?? ''), relayed)).toBe(mac),
  );
});
