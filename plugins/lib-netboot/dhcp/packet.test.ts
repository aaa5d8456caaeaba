import { describe, expect, test } from 'vitest';
import { MESSAGE, OPTION } from './codes.ts';
import { messageType, nulTerminated, textOption } from './fields.ts';
import { decodeOptions, encodeOption, encodeSubOptions } from './options.ts';
import { type DhcpDraft, decodeDhcp, encodeDhcp, payloadBudget, wantsBroadcast } from './packet.ts';

const CHADDR = Uint8Array.of(0x52, 0x54, 0, 0x12, 0x34, 0x56);

function draft(options: DhcpDraft['options'], more: Partial<DhcpDraft> = {}): DhcpDraft {
  return { op: 1, xid: 0xdeadbeef, chaddr: CHADDR, options, ...more };
}

function decoded(bytes: Uint8Array) {
  const { packet, problem } = decodeDhcp(bytes);
  if (packet === undefined) throw new Error(problem);
  return packet;
}

/** Deterministic noise: a failing packet can be found again by its number. */
function random(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

describe('round trip', () => {
  test('every fixed field and option comes back', () => {
    const { bytes, dropped } = encodeDhcp(
      draft(
        [
          [OPTION.messageType, Uint8Array.of(MESSAGE.offer)],
          [OPTION.serverId, Uint8Array.of(10, 0, 0, 1)],
          [OPTION.bootFile, nulTerminated('ipxe/ipxe.efi')],
        ],
        {
          op: 2,
          secs: 7,
          hops: 2,
          flags: 0x8000,
          ciaddr: '1.2.3.4',
          yiaddr: '10.0.0.9',
          siaddr: '10.0.0.1',
          giaddr: '10.9.0.1',
          sname: 'overdub',
          file: 'ipxe/ipxe.efi',
        },
      ),
    );
    const packet = decoded(bytes);
    expect(dropped).toEqual([]);
    expect(packet).toMatchObject({
      op: 2,
      xid: 0xdeadbeef,
      secs: 7,
      hops: 2,
      ciaddr: '1.2.3.4',
      yiaddr: '10.0.0.9',
      siaddr: '10.0.0.1',
      giaddr: '10.9.0.1',
      sname: 'overdub',
      file: 'ipxe/ipxe.efi',
    });
    expect([...packet.chaddr]).toEqual([...CHADDR]);
    expect(wantsBroadcast(packet)).toBe(true);
    expect(messageType(packet)).toBe(MESSAGE.offer);
    expect(textOption(packet, OPTION.bootFile)).toBe('ipxe/ipxe.efi');
  });

  test('a short message is padded to the 300 bytes of BOOTP', () => {
    expect(encodeDhcp(draft([])).bytes.length).toBe(300);
  });

  test('names longer than their field are cut and still end in NUL', () => {
    const { bytes } = encodeDhcp(draft([], { file: 'x'.repeat(300), sname: 'y'.repeat(300) }));
    expect(decoded(bytes).file).toBe('x'.repeat(127));
    expect(decoded(bytes).sname).toBe('y'.repeat(63));
  });
});

describe('long options and the size budget', () => {
  test('a value above 255 bytes is split and joined again (RFC 3396)', () => {
    const value = Uint8Array.from({ length: 700 }, (_, index) => index % 251);
    const { bytes } = encodeDhcp(draft([[OPTION.vendorSpecific, value]]), 1400);
    expect(decoded(bytes).options.get(OPTION.vendorSpecific)).toEqual(value);
  });

  test('what does not fit the options field goes into file and sname (option 52)', () => {
    const options = Array.from(
      { length: 7 },
      (_, index) => [224 + index, new Uint8Array(50).fill(index)] as const,
    );
    const { bytes, dropped } = encodeDhcp(draft(options), 548);
    expect(dropped).toEqual([]);
    expect(bytes.length).toBeLessThanOrEqual(548);
    const packet = decoded(bytes);
    for (const [code, value] of options) expect(packet.options.get(code)).toEqual(value);
    expect([packet.sname, packet.file]).toEqual(['', '']);
    expect(packet.options.get(OPTION.overload)).toBeDefined();
  });

  test.each([
    ['alone', 0, []],
    ['with the file field overloaded', 120, []],
    ['when others find no room', 600, [OPTION.vendorSpecific]],
  ])('relay information is the last of the options field and never left out: %s', (_, bytes, dropped) => {
    const relayInformation = Uint8Array.of(1, 2, 7, 7, 2, 1, 9);
    const made = encodeDhcp(
      draft(
        [
          [OPTION.messageType, Uint8Array.of(MESSAGE.offer)],
          [OPTION.dns, new Uint8Array(100)],
          [OPTION.vendorClass, new Uint8Array(90)],
          [OPTION.vendorSpecific, new Uint8Array(bytes)],
        ],
        { op: 2, relayInformation },
      ),
    );
    expect(made.dropped).toEqual(dropped);
    expect(made.bytes.length).toBeLessThanOrEqual(548);
    expect(decoded(made.bytes).options.get(OPTION.relayInformation)).toEqual(relayInformation);
    const field = Buffer.from(made.bytes.subarray(240))
      .toString('hex')
      .replace(/(00)*$/, '');
    expect(field.endsWith('52070102070702010' + '9ff')).toBe(true);
  });

  test('an option split between options field and file field is joined in that order (RFC 3396 §7)', () => {
    const { bytes } = encodeDhcp(
      draft([
        [OPTION.overload, Uint8Array.of(1)],
        [43, Uint8Array.of(1, 2)],
      ]),
    );
    bytes.set([43, 2, 3, 4, 255], 108);
    expect([...(decoded(bytes).options.get(43) ?? [])]).toEqual([1, 2, 3, 4]);
  });

  test('a used file field is never overloaded; the least important option is dropped and named', () => {
    const options = Array.from({ length: 8 }, (_, index) => [224 + index, new Uint8Array(50)] as const);
    const { bytes, dropped } = encodeDhcp(draft(options, { file: 'boot', sname: 'me' }), 548);
    expect(bytes.length).toBeLessThanOrEqual(548);
    expect(dropped).toEqual([229, 230, 231]);
    expect(decoded(bytes).file).toBe('boot');
  });

  test.each([
    [undefined, 548],
    [Uint8Array.of(0, 10), 548],
    [Uint8Array.of(4, 0), 996],
    [Uint8Array.of(255, 255), 1472],
    [Uint8Array.of(4), 548],
  ])('option 57 = %s allows %i bytes of payload', (value, budget) => {
    const options = value === undefined ? [] : [[OPTION.maxMessageSize, value] as const];
    expect(payloadBudget(decoded(encodeDhcp(draft(options)).bytes))).toBe(budget);
  });
});

describe('sub-options', () => {
  test('PXE discovery control as OVMF wants it: 06 01 08 ff', () => {
    expect([...encodeSubOptions([[6, Uint8Array.of(8)]])]).toEqual([6, 1, 8, 255]);
  });
  test('relay information has no end mark and may hold 0 and 255 as values', () => {
    const bytes = encodeSubOptions([[1, Uint8Array.of(0, 255)]], { end: false });
    expect([...bytes]).toEqual([1, 2, 0, 255]);
    expect([...(decodeOptions(bytes).options.get(1) ?? [])]).toEqual([0, 255]);
  });
  test('an empty value is one instance of length 0', () => {
    expect([...encodeOption(80, new Uint8Array(0))]).toEqual([80, 0]);
  });
});

describe('hostile bytes', () => {
  test.each([
    ['nothing', new Uint8Array(0), /only 0 bytes/],
    ['a BOOTP header without cookie', new Uint8Array(240).fill(0).fill(1, 0, 1), /magic/],
  ])('%s is refused with a reason', (_, bytes, problem) => {
    const result = decodeDhcp(bytes);
    expect(result.packet).toBeUndefined();
    expect(result.problem).toMatch(problem);
  });

  test('a hardware address longer than its field is refused', () => {
    const { bytes } = encodeDhcp(draft([]));
    bytes[2] = 200;
    expect(decodeDhcp(bytes).problem).toMatch(/200 bytes/);
  });

  test('a truncated option keeps what came before it, with a reason', () => {
    const { bytes } = encodeDhcp(draft([[OPTION.messageType, Uint8Array.of(MESSAGE.discover)]]));
    bytes.set([60, 250, 80], 243);
    const { packet, problem } = decodeDhcp(bytes.subarray(0, 246));
    expect(problem).toMatch(/option 60 runs past/);
    expect(packet && messageType(packet)).toBe(MESSAGE.discover);
  });

  test('100,000 mutated packets: never a throw, and what decodes encodes again', () => {
    const roll = random(7);
    const seeds = [
      encodeDhcp(
        draft([
          [OPTION.messageType, Uint8Array.of(1)],
          [OPTION.vendorClass, Buffer.from('PXEClient:Arch:00007:UNDI:003016')],
          [OPTION.clientArchitecture, Uint8Array.of(0, 7)],
          [OPTION.machineUuid, new Uint8Array(17)],
          [OPTION.ipxe, encodeSubOptions([[19, Uint8Array.of(1)]])],
        ]),
      ).bytes,
      encodeDhcp(
        draft([
          [43, new Uint8Array(600)],
          [OPTION.overload, Uint8Array.of(3)],
        ]),
        1400,
      ).bytes,
    ];
    let readable = 0;
    for (let round = 0; round < 100_000; round++) {
      const seed = seeds[round % seeds.length] as Uint8Array;
      const bytes = Uint8Array.from(
        seed.subarray(0, roll() < 0.3 ? Math.floor(roll() * seed.length) : seed.length),
      );
      for (let hit = 0; hit < 6 && bytes.length > 0; hit++) {
        const at = roll() < 0.5 ? 240 + Math.floor(roll() * 80) : Math.floor(roll() * bytes.length);
        if (at < bytes.length) bytes[at] = Math.floor(roll() * 256);
      }
      const { packet, problem } = decodeDhcp(bytes);
      if (packet === undefined) expect(problem, `packet ${round}`).toBeTruthy();
      else {
        readable += 1;
        const again = encodeDhcp({ ...packet, options: packet.options }, 1472);
        if (decodeDhcp(again.bytes).packet === undefined)
          throw new Error(`packet ${round} does not come back`);
      }
    }
    expect(readable).toBeGreaterThan(30_000);
  });
});
