import { once } from 'node:events';
import { expect, test } from 'vitest';
import { interfaceAddresses, interfaceMtu } from './interfaces.ts';
import { openUdp } from './open-udp.ts';

test('a socket tied to an interface is bound, may broadcast and receives', async () => {
  const listener = await openUdp({ interface: 'lo', port: 0 });
  const sender = await openUdp({ port: 0, address: '127.0.0.1' });
  try {
    const message = once(listener, 'message');
    sender.send('hello', listener.address().port, '127.0.0.1');
    expect(String((await message)[0])).toBe('hello');
  } finally {
    listener.close();
    sender.close();
  }
});

test.each(['lo', undefined])('a taken port is refused (interface %s), unless both share it', async (name) => {
  const device = name === undefined ? {} : { interface: name };
  const first = await openUdp({ ...device, address: '127.0.0.1', port: 0 });
  const port = first.address().port;
  try {
    await expect(openUdp({ ...device, address: '127.0.0.1', port })).rejects.toMatchObject({
      code: 'EADDRINUSE',
    });
  } finally {
    first.close();
  }
  const one = await openUdp({ ...device, address: '127.0.0.1', port: 0, share: true });
  const two = await openUdp({ ...device, address: '127.0.0.1', port: one.address().port, share: true });
  one.close();
  two.close();
});

test('an interface that does not exist, and an address that is not ours, are named by the system’s code', async () => {
  await expect(openUdp({ interface: 'nosuchif0', port: 0 })).rejects.toMatchObject({ code: 'ENODEV' });
  await expect(openUdp({ interface: 'lo', address: '192.0.2.1', port: 0 })).rejects.toMatchObject({
    code: 'EADDRNOTAVAIL',
  });
});

test('loopback is listed with its address and MTU', async () => {
  expect(interfaceAddresses()).toContainEqual(
    expect.objectContaining({ interface: 'lo', address: '127.0.0.1', internal: true }),
  );
  expect(await interfaceMtu('lo')).toBeGreaterThanOrEqual(1500);
  expect(await interfaceMtu('nosuchif0')).toBe(1500);
});
