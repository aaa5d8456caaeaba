import { describe, expect, test } from 'vitest';
import { OPTION } from './codes.ts';
import {
  addressOption,
  architectures,
  ipxeOptions,
  machineUuid,
  macOf,
  messageType,
  nodeIdentifier,
  nulTerminated,
  relayInformation,
  requestedOptions,
  textOption,
  uint32Option,
  userClasses,
} from './fields.ts';
import { type DhcpPacket, decodeDhcp, encodeDhcp } from './packet.ts';

function packetWith(code: number, value: Uint8Array): DhcpPacket {
  const chaddr = Uint8Array.of(0x52, 0x54, 0, 1, 2, 3);
  const { packet } = decodeDhcp(encodeDhcp({ op: 1, xid: 1, chaddr, options: [[code, value]] }, 1400).bytes);
  if (packet === undefined) throw new Error('the test packet does not decode');
  return packet;
}
const bytes = (...values: number[]): Uint8Array => Uint8Array.from(values);
const text = (value: string): Uint8Array => Buffer.from(value, 'latin1');

describe('machine UUID (option 97)', () => {
  const raw = bytes(0, 0x33, 0x22, 0x11, 0x00, 0x55, 0x44, 0x77, 0x66, 8, 9, 10, 11, 12, 13, 14, 15);
  test('is printed in SMBIOS byte order', () => {
    expect(machineUuid(packetWith(OPTION.machineUuid, raw))).toBe('00112233-4455-6677-0809-0a0b0c0d0e0f');
  });
  test.each([
    ['missing', undefined],
    ['empty', bytes()],
    ['16 bytes, no type', raw.subarray(1)],
    ['of a type other than 0', bytes(1, ...raw.subarray(1))],
    ['18 bytes', bytes(...raw, 1)],
  ])('is unknown when %s', (_, value) => {
    const packet = value === undefined ? packetWith(1, bytes(0)) : packetWith(OPTION.machineUuid, value);
    expect(machineUuid(packet)).toBeUndefined();
  });
});

describe('architectures', () => {
  test('several codes in option 93', () => {
    expect(architectures(packetWith(OPTION.clientArchitecture, bytes(0, 7, 0, 9)))).toEqual([7, 9]);
  });
  test('the vendor class when option 93 is missing or too short', () => {
    expect(architectures(packetWith(OPTION.vendorClass, text('PXEClient:Arch:00007:UNDI:003016')))).toEqual([
      7,
    ]);
    expect(architectures(packetWith(OPTION.clientArchitecture, bytes(7)))).toEqual([]);
  });
});

describe('user class (option 77)', () => {
  test.each([
    ['as iPXE sends it, plain', text('iPXE'), ['iPXE']],
    ['as RFC 3004 has it', bytes(4, ...text('iPXE'), 3, ...text('lab')), ['iPXE', 'lab']],
    ['empty', bytes(), []],
    ['a list whose length lies', bytes(200, 65, 66), ['\u00c8AB']],
  ])('%s', (_, value, classes) => {
    expect(userClasses(packetWith(OPTION.userClass, value))).toEqual(classes);
  });
});

test('text options end at a NUL, with or without one', () => {
  expect(textOption(packetWith(67, nulTerminated('a/b')), 67)).toBe('a/b');
  expect(textOption(packetWith(67, text('a/b')), 67)).toBe('a/b');
});

test('address options need exactly four bytes', () => {
  expect(addressOption(packetWith(50, bytes(10, 0, 0, 5)), 50)).toBe('10.0.0.5');
  expect(addressOption(packetWith(50, bytes(10, 0, 0)), 50)).toBeUndefined();
});

test('iPXE sub-options, message types and parameter lists are read', () => {
  expect(ipxeOptions(packetWith(175, bytes(19, 1, 1)))?.get(19)).toEqual(bytes(1));
  expect(ipxeOptions(packetWith(1, bytes(1)))).toBeUndefined();
  expect(messageType(packetWith(53, bytes(99)))).toBeUndefined();
  expect(requestedOptions(packetWith(55, bytes(1, 66)))).toEqual(new Set([1, 66]));
});

test('only unicast Ethernet addresses are machines', () => {
  const packet = packetWith(1, bytes(1));
  expect(macOf(packet)).toBe('52:54:00:01:02:03');
  expect(macOf({ ...packet, htype: 32 })).toBeUndefined();
  expect(macOf({ ...packet, chaddr: bytes(1, 0, 0, 0, 0, 1) })).toBeUndefined();
  expect(macOf({ ...packet, chaddr: new Uint8Array(6) })).toBeUndefined();
});

test('numbers outside 32 bits are held at its ends', () => {
  expect(uint32Option(-1)).toEqual(Buffer.from([0, 0, 0, 0]));
  expect(uint32Option(2 ** 40)).toEqual(Buffer.from([255, 255, 255, 255]));
});

describe('relay information (option 82)', () => {
  const of = (...value: number[]) => relayInformation(packetWith(OPTION.relayInformation, bytes(...value)));
  test('link selection (RFC 3527) and server identifier override (RFC 5107) are read', () => {
    expect(of(1, 2, 9, 9, 5, 4, 10, 2, 0, 0, 11, 4, 10, 2, 0, 254)).toEqual({
      linkSelection: '10.2.0.0',
      serverIdOverride: '10.2.0.254',
    });
  });
  test.each([
    ['absent', [1, 1, 0]],
    ['of another length', [5, 3, 10, 2, 0]],
    ['unset', [5, 4, 0, 0, 0, 0]],
    ['cut off', [5, 4, 10, 2]],
  ])('link selection is unknown when %s', (_, value) => {
    expect(of(...value).linkSelection).toBeUndefined();
  });
});

test('a client identifier of RFC 4361 is told from the older ones', () => {
  const duid = [0, 2, 0, 0, 0xab, 0x11, 1, 2, 3, 4];
  const value = bytes(255, 0, 0, 0, 1, ...duid);
  expect(nodeIdentifier(packetWith(OPTION.clientId, value))).toBe(`ff00000001${'00020000ab1101020304'}`);
  for (const old of [
    bytes(1, 2, 3, 4, 5, 6, 7),
    bytes(255, 0, 0, 0, 1, 0, 2),
    bytes(),
    new Uint8Array(255).fill(255),
  ]) {
    expect(nodeIdentifier(packetWith(OPTION.clientId, old))).toBeUndefined();
  }
});
