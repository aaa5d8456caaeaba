import { MESSAGE, OPTION, textOption } from '@overdub/lib-netboot';
import { describe, expect, test } from 'vitest';
import { handleDhcp } from './dhcp-server.ts';
import type { Quirks } from './options.ts';
import { handleProxy } from './proxy.ts';
import type { Reply } from './reply.ts';
import { CLIENT, discover, received, type TestDesk, testDesk } from './test-kit.ts';

const withQuirks = (quirks: Quirks): TestDesk => testDesk({ quirksOf: () => quirks });

describe.each([
  ['proxy', handleProxy],
  ['server', handleDhcp],
] as const)('in %s mode', (_, handle) => {
  async function offered(quirks: Quirks): Promise<Reply> {
    const reply = await handle(discover(CLIENT.uefi), withQuirks(quirks));
    if (reply === undefined) throw new Error('silence');
    return reply;
  }

  test.each<[string, Quirks, string, string | undefined]>([
    ['without quirks both name the file', {}, 'ipxe/x', 'ipxe/x'],
    ['the BOOTP field only', { bootFile: 'field' }, 'ipxe/x', undefined],
    ['option 67 only', { bootFile: 'option' }, '', 'ipxe/x'],
  ])('%s', async (_what, quirks, field, option) => {
    const packet = received(await offered(quirks));
    expect([packet.file, textOption(packet, OPTION.bootFile)]).toEqual([field, option]);
  });

  test.each([
    [undefined, 0],
    [false, 'x'.charCodeAt(0)],
  ])('nulTerminated %s', async (nulTerminated, last) => {
    const packet = received(await offered(nulTerminated === undefined ? {} : { nulTerminated }));
    expect(packet.options.get(OPTION.bootFile)?.at(-1)).toBe(last);
    expect(packet.options.get(OPTION.tftpServerName)?.at(-1)).toBe(last === 0 ? 0 : '1'.charCodeAt(0));
  });

  test('option 43 and option 60 can be left out', async () => {
    const packet = received(await offered({ option43: false, vendorClass: false }));
    expect([OPTION.vendorSpecific, OPTION.vendorClass].map((code) => packet.options.has(code))).toEqual([
      false,
      false,
    ]);
  });

  test('unicast answers to the hardware address; a relayed request still goes to its relay', async () => {
    const { to } = await offered({ unicast: true });
    expect(to.hardware).toEqual(Uint8Array.of(0x52, 0x54, 0, 0, 0, 1));
    expect((await offered({})).to).toEqual({ address: '255.255.255.255', port: 68 });
    const relayed = discover(CLIENT.uefi, { giaddr: '10.0.0.9' });
    const answer = await handle(relayed, withQuirks({ unicast: true }));
    expect(answer?.to).toEqual({ address: '10.0.0.9', port: 67 });
  });
});

test('a name too long for the BOOTP field is always said in option 67', async () => {
  const desk = withQuirks({ bootFile: 'field' });
  const name = `a/${'b'.repeat(140)}`;
  desk.netboot.rendered = { kind: 'file', name };
  const packet = received(await handleDhcp(discover(CLIENT.uefi), desk));
  expect([packet.file, textOption(packet, OPTION.bootFile)]).toEqual(['', name]);
});

test('the unicast offer of an address goes to that address', async () => {
  const reply = await handleDhcp(discover(CLIENT.bios), withQuirks({ unicast: true }));
  expect(reply).toMatchObject({ type: MESSAGE.offer, to: { address: received(reply).yiaddr, port: 68 } });
});
