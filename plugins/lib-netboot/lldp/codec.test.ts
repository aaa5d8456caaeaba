import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { decodeLldp, decodeLldpFrame } from './codec.ts';

type Tlv = readonly [number, string | readonly number[]];

const unit = (...tlvs: readonly Tlv[]): Buffer =>
  Buffer.concat(
    tlvs.map(([type, value]) => {
      const bytes = typeof value === 'string' ? Buffer.from(value) : Buffer.from([...value]);
      const head = Buffer.alloc(2);
      head.writeUInt16BE((type << 9) | bytes.length);
      return Buffer.concat([head, bytes]);
    }),
  );
const CHASSIS: Tlv = [1, [4, 2, 0, 0, 0, 0, 1]];
const PORT: Tlv = [2, '\x05Gi1/0/7'];
const TTL: Tlv = [3, [0, 120]];
const END: Tlv = [0, []];
const BASE = { chassisId: '02:00:00:00:00:01', portId: 'Gi1/0/7', ttlSeconds: 120 };
const frame = (payload: Uint8Array, etherType = '88cc'): Buffer =>
  Buffer.concat([Buffer.from(`0180c200000e020000000001${etherType}`, 'hex'), payload]);

describe('a sound data unit', () => {
  test('says switch, port and for how long', () => {
    expect(decodeLldpFrame(frame(unit(CHASSIS, PORT, TTL, END)))).toEqual(BASE);
  });

  test('says names, description and VLAN; other TLVs and padding are skipped', () => {
    const bytes = unit(
      ...([CHASSIS, PORT, TTL, [4, 'uplink\nof rack 3'], [5, 'sw1.example\0'], [6, 'RouterOS']] as Tlv[]),
      [127, [0, 0x12, 0x0f, 1, 3, 0x6c]],
      [127, [0, 0x80, 0xc2, 1, 0, 30]],
      [126, 'x'],
      END,
    );
    expect(decodeLldp(Buffer.concat([bytes, Buffer.alloc(20, 7)]))).toEqual({
      ...BASE,
      systemName: 'sw1.example',
      portDescription: 'uplink of rack 3',
      vlan: 30,
    });
  });

  test('may end with the frame', () => expect(decodeLldp(unit(CHASSIS, PORT, TTL))).toEqual(BASE));

  test.each<[readonly number[] | string, string]>([
    [[4, 0xaa, 0xbb, 0xcc, 0, 1, 2], 'aa:bb:cc:00:01:02'],
    [[4, 0xaa, 0xbb], 'aabb'],
    [[5, 1, 10, 0, 0, 254], '10.0.0.254'],
    [[5, 2, 0xfe, 0x80, ...new Array(13).fill(0), 1], 'fe80:0:0:0:0:0:0:1'],
    [[5, 9, 1, 2], '090102'],
    ['\x07rack 3, unit 40', 'rack 3, unit 40'],
    [[7, 0xff, 0xfe], 'fffe'],
    [[7, 0, 0, 0], '000000'],
  ])('names the chassis %j as %s', (value, text) =>
    expect(decodeLldp(unit([1, value], PORT, TTL))?.chassisId).toBe(text),
  );

  test('names a port by its MAC address', () =>
    expect(decodeLldp(unit(CHASSIS, [2, [3, 1, 2, 3, 4, 5, 6]], TTL))?.portId).toBe('01:02:03:04:05:06'));
});

describe('refused as a whole', () => {
  test.each<[string, Uint8Array]>([
    ['nothing', Buffer.alloc(0)],
    ['an end alone', unit(END)],
    ['no lifetime', unit(CHASSIS, PORT, END)],
    ['another order', unit(PORT, CHASSIS, TTL)],
    ['a second chassis', unit(CHASSIS, PORT, TTL, CHASSIS)],
    ['a chassis without a name', unit([1, [4]], PORT, TTL)],
    ['a lifetime of one byte', unit(CHASSIS, PORT, [3, [1]])],
    ['a TLV that runs past the end', unit(CHASSIS, PORT, TTL, [5, 'switch']).subarray(0, -2)],
  ])('%s', (_, bytes) => expect(decodeLldp(bytes)).toBeUndefined());

  test('a frame of another kind', () =>
    expect(decodeLldpFrame(frame(unit(CHASSIS, PORT, TTL), '0806'))).toBeUndefined());
});

describe('any bytes', () => {
  const sound = unit(CHASSIS, PORT, TTL, [4, 'port'], [5, 'switch'], [127, [0, 0x80, 0xc2, 1, 0, 5]], END);
  const check = (bytes: Uint8Array): void => {
    const found = decodeLldp(bytes);
    for (const text of [found?.chassisId, found?.portId, found?.systemName, found?.portDescription]) {
      // biome-ignore lint/suspicious/noControlCharactersInRegex: none may be left.
      expect(text ?? 'x').toMatch(/^[^\u0000-\u001f\u007f-\u009f]{1,255}$/);
    }
  };

  test('are a neighbour or none, never an exception, and its texts are one line', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
        check(bytes);
        decodeLldpFrame(bytes);
      }),
      { numRuns: 3000 },
    );
  });

  test('so do sound units with bytes changed and cut', () => {
    const change = fc.array(fc.tuple(fc.nat(sound.length - 1), fc.nat(255)), { maxLength: 8 });
    fc.assert(
      fc.property(change, fc.nat(sound.length), (changes, length) => {
        const bytes = Buffer.from(sound);
        for (const [at, value] of changes) bytes[at] = value;
        check(bytes.subarray(0, length));
      }),
      { numRuns: 3000 },
    );
  });
});
