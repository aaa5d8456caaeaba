import { MESSAGE, messageType, OPTION, textOption } from '@overdub/lib-netboot';
import { describe, expect, test } from 'vitest';
import { handleBootServer, handleProxy } from './proxy.ts';
import { CLIENT, discover, OURS, packet, received, testDesk } from './test-kit.ts';

const BROADCAST = { address: '255.255.255.255', port: 68 };

describe('an offer to firmware', () => {
  test('names the file everywhere a ROM may look, with option 60 and 43 as OVMF wants them', async () => {
    const reply = await handleProxy(discover(CLIENT.uefi), testDesk());
    const offer = received(reply);
    expect(reply?.to).toEqual(BROADCAST);
    expect(messageType(offer)).toBe(MESSAGE.offer);
    expect(offer).toMatchObject({ yiaddr: '0.0.0.0', siaddr: OURS, file: 'ipxe/x', sname: OURS, xid: 42 });
    expect(textOption(offer, OPTION.vendorClass)).toBe('PXEClient');
    expect([...(offer.options.get(OPTION.vendorSpecific) ?? [])]).toEqual([6, 1, 8, 255]);
    expect(offer.options.get(OPTION.bootFile)?.at(-1)).toBe(0);
    expect(textOption(offer, OPTION.bootFile)).toBe('ipxe/x');
    expect(textOption(offer, OPTION.tftpServerName)).toBe(OURS);
    expect(offer.options.has(OPTION.leaseTime)).toBe(false);
  });

  test.each([
    ['option43', OPTION.vendorSpecific],
    ['vendorClass', OPTION.vendorClass],
  ])('quirk %s: false leaves that option out', async (quirk, option) => {
    const desk = testDesk({ quirksOf: () => ({ [quirk]: false }) });
    expect(received(await handleProxy(discover(CLIENT.uefi), desk)).options.has(option)).toBe(false);
  });

  test.each([
    ['missing', undefined],
    ['empty', new Uint8Array(0)],
    ['17 bytes', new Uint8Array(17).fill(9, 1)],
    ['5 bytes', new Uint8Array(5)],
  ])('option 97 %s: answered, and echoed as it came', async (_, value) => {
    const more = value === undefined ? [] : [[OPTION.machineUuid, value] as const];
    const offer = received(await handleProxy(discover([...CLIENT.uefi, ...more]), testDesk()));
    expect(offer.options.get(OPTION.machineUuid)).toEqual(value);
  });
});

test('the core is told in which network the machine is: its relay’s word, else its own, else our interface', async () => {
  const desk = testDesk();
  await handleProxy(discover(CLIENT.bios, { giaddr: '10.9.0.1' }), desk);
  await handleProxy(discover(CLIENT.bios, { ciaddr: '10.8.0.7' }), desk);
  await handleProxy(discover(CLIENT.bios), desk);
  expect(desk.netboot.asked.map(({ ip }) => ip)).toEqual(['10.9.0.1', '10.8.0.7', OURS]);
});

describe('where replies go', () => {
  test('a relayed request is answered to the relay’s port 67, giaddr, flags and option 82 echoed', async () => {
    const relay = Uint8Array.of(1, 2, 7, 7);
    const request = discover([...CLIENT.uefi, [OPTION.relayInformation, relay]], {
      giaddr: '10.9.0.1',
      flags: 0x8000,
    });
    const reply = await handleProxy(request, testDesk());
    expect(reply?.to).toEqual({ address: '10.9.0.1', port: 67 });
    expect(received(reply)).toMatchObject({ giaddr: '10.9.0.1', flags: 0x8000 });
    expect(received(reply).options.get(OPTION.relayInformation)).toEqual(relay);
  });

  test('port 4011 answers where the question came from', async () => {
    const from = { address: '10.0.0.55', port: 4011 };
    const request = packet({ type: MESSAGE.request, ciaddr: '10.0.0.55', options: CLIENT.uefi });
    const reply = await handleBootServer(request, from, testDesk());
    expect(reply?.to).toEqual(from);
    expect(messageType(received(reply))).toBe(MESSAGE.ack);
    expect(received(reply).file).toBe('ipxe/x');
    expect(await handleBootServer(discover(CLIENT.uefi), from, testDesk())).toBeUndefined();
  });
});

describe('iPXE', () => {
  test('is told apart and gets its script’s URL, as option 67 and file, with option 60 but no 43', async () => {
    const desk = testDesk();
    const offer = received(await handleProxy(discover(CLIENT.ipxe), desk));
    expect(desk.netboot.asked[0]).toMatchObject({
      client: 'ipxe',
      stage: 'dhcp',
      baseUrl: `http://${OURS}:7077`,
      ip: OURS,
    });
    expect(textOption(offer, OPTION.bootFile)).toMatch(/^http:\/\/10\.0\.0\.1:7077\/boot\/ipxe\/script/);
    expect(textOption(offer, OPTION.vendorClass)).toBe('PXEClient');
    expect(offer.options.has(OPTION.vendorSpecific)).toBe(false);
  });
  test('without HTTP it counts as firmware, and loads ours first', async () => {
    const desk = testDesk();
    expect(received(await handleProxy(discover(CLIENT.ipxeWithoutHttp), desk)).file).toBe('ipxe/x');
    expect(desk.netboot.asked[0]?.client).toBe('pxe');
  });
  test('a URL too long for the file field goes into option 67 only', async () => {
    const desk = testDesk();
    const name = `http://10.0.0.1:7077/${'x'.repeat(140)}`;
    desk.netboot.rendered = { kind: 'file', name };
    const offer = received(await handleProxy(discover(CLIENT.ipxe), desk));
    expect([offer.file, textOption(offer, OPTION.bootFile)]).toEqual(['', name]);
  });
});

describe('silence', () => {
  test.each([
    ['an ordinary DHCP client', discover()],
    [
      'a request to another server',
      packet({ type: MESSAGE.request, server: '10.0.0.254', options: CLIENT.uefi }),
    ],
    ['another server’s reply', packet({ type: MESSAGE.offer, op: 2, options: CLIENT.uefi })],
    ['a group hardware address', discover(CLIENT.uefi, { mac: '01:00:00:00:00:01' })],
  ])('%s', async (_, request) => {
    const desk = testDesk();
    expect(await handleProxy(request, desk)).toBeUndefined();
    expect(desk.netboot.asked).toEqual([]);
  });

  test('local disk and rejected machines get no offer', async () => {
    const desk = testDesk();
    desk.netboot.plan = { kind: 'local' };
    expect(await handleProxy(discover(CLIENT.uefi), desk)).toBeUndefined();
    desk.netboot.plan = { kind: 'silent', reason: 'rejected' };
    expect(await handleProxy(discover(CLIENT.uefi), desk)).toBeUndefined();
  });

  test.each([6, 2, 12, 27, 65535])(
    'architecture %i: no answer, and one clear message a minute',
    async (code) => {
      const desk = testDesk();
      for (let round = 0; round < 5; round++) {
        expect(await handleProxy(discover(CLIENT.arch(code)), desk)).toBeUndefined();
      }
      expect(desk.log.said('warn')).toEqual([
        expect.stringMatching(`ARCH_UNKNOWN.*architecture ${code}.*64-bit UEFI`),
      ]);
      expect(desk.netboot.asked).toEqual([]);
    },
  );

  test('a plan nobody renders: no answer, and the message names boot-ipxe', async () => {
    const desk = testDesk();
    desk.netboot.rendered = undefined;
    expect(await handleProxy(discover(CLIENT.uefi), desk)).toBeUndefined();
    expect(desk.log.said('warn')).toEqual([expect.stringMatching(/boot-ipxe/)]);
  });

  test.each([
    [0, 'bios-x86'],
    [7, 'uefi-x86_64'],
    [9, 'uefi-x86_64'],
    [11, 'uefi-arm64'],
  ])('architecture %i is %s', async (code, arch) => {
    const desk = testDesk();
    await handleProxy(discover(CLIENT.arch(code)), desk);
    expect(desk.netboot.asked[0]).toMatchObject({ arch, archCode: code });
  });

  test('a ROM that names no architecture is BIOS', async () => {
    const desk = testDesk();
    await handleProxy(discover([[OPTION.vendorClass, Buffer.from('PXEClient')]]), desk);
    expect(desk.netboot.asked[0]?.arch).toBe('bios-x86');
  });
});
