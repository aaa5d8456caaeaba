import { MESSAGE, OPTION, textOption } from '@overdub/lib-netboot';
import { describe, expect, test } from 'vitest';
import { handleDhcp } from './dhcp-server.ts';
import { handleProxy } from './proxy.ts';
import { CLIENT, discover, OURS, packet, received, testDesk } from './test-kit.ts';

const URI = `http://${OURS}:7077/boot/ipxe/ipxe.efi`;

describe.each([
  ['proxy', handleProxy],
  ['server', handleDhcp],
] as const)('UEFI HTTP Boot in %s mode', (mode, handle) => {
  test('gets option 60 HTTPClient and the URI, without NUL and without what belongs to PXE', async () => {
    const desk = testDesk();
    desk.netboot.rendered = { kind: 'file', name: URI };
    const offer = received(await handle(discover(CLIENT.http), desk));
    expect(desk.netboot.asked[0]).toMatchObject({ client: 'http', arch: 'uefi-x86_64', archCode: 16 });
    expect(textOption(offer, OPTION.vendorClass)).toBe('HTTPClient');
    expect(Buffer.from(offer.options.get(OPTION.bootFile) ?? []).toString()).toBe(URI);
    expect(offer.file).toBe(URI);
    expect(offer.options.has(OPTION.vendorSpecific)).toBe(false);
    expect(offer.options.has(OPTION.tftpServerName)).toBe(false);
    expect(offer.yiaddr === '0.0.0.0').toBe(mode === 'proxy');
  });

  test.each([
    ['nobody renders it', undefined],
    ['what is rendered is no URL', { kind: 'file', name: 'grub/shimx64.efi' }],
  ] as const)('%s: silence, without complaint, for it tries PXE, too', async (_, rendered) => {
    const desk = testDesk();
    desk.netboot.rendered = rendered;
    expect(await handle(discover(CLIENT.http), desk)).toBeUndefined();
    expect(desk.log.said('warn')).toEqual([]);
  });
});

test('in server mode the acknowledgement names the URI again', async () => {
  const desk = testDesk();
  desk.netboot.rendered = { kind: 'file', name: URI };
  const { yiaddr: requested } = received(await handleDhcp(discover(CLIENT.http), desk));
  const request = packet({ type: MESSAGE.request, requested, server: OURS, options: CLIENT.http });
  const ack = received(await handleDhcp(request, desk));
  expect([textOption(ack, OPTION.vendorClass), textOption(ack, OPTION.bootFile)]).toEqual([
    'HTTPClient',
    URI,
  ]);
});
