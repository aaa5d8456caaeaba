import { chmod, mkdtemp, rm, stat, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Type } from 'typebox';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type Appliance, type ApplianceOptions, createAppliance } from './appliance.ts';
import type { ApplianceConfig } from './contracts/config.ts';
import type { PluginContext } from './contracts/context.ts';
import type { ConfiguredPlugin, PluginContributions } from './contracts/plugin.ts';
import type { Event } from './domain/event.ts';
import { factsOf } from './operations/fixture.ts';
import packageJson from './package.json' with { type: 'json' };
import { definePlugin } from './plugin-host/plugin.ts';
import { MemoryBlobStore, type MemoryBlobs } from './testing/fakes/memory-blob-store.ts';
import { recordingLog } from './testing/fakes/recording-log.ts';
import { VERSION } from './version.ts';

let directory: string;
const running: Appliance[] = [];

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'overdub-appliance-'));
});
afterEach(async () => {
  for (const appliance of running.splice(0)) await appliance.stop();
  await rm(directory, { recursive: true, force: true });
});

function plugin(
  name: string,
  apply: (ctx: PluginContext) => PluginContributions | undefined,
  start?: (ctx: PluginContext) => Promise<void>,
): ConfiguredPlugin {
  return definePlugin({
    name,
    apiVersion: '^1.0.0',
    options: Type.Object({}),
    apply,
    ...(start === undefined ? {} : { start }),
  })();
}

function memoryStorage(shared: MemoryBlobs = { blobs: new Map() }): ConfiguredPlugin {
  return plugin('storage-memory', (ctx) => {
    ctx.hooks.storage.open.tap(() => new MemoryBlobStore(shared));
    return undefined;
  });
}

async function up(config: Partial<ApplianceConfig> = {}, options: ApplianceOptions = {}): Promise<Appliance> {
  const appliance = await createAppliance(
    { plugins: [memoryStorage()], http: { port: 0 }, ...config },
    { stateDir: join(directory, 'state'), log: recordingLog(), ...options },
  );
  running.push(appliance);
  await appliance.start();
  return appliance;
}

describe('createAppliance', () => {
  it('starts, tells its URL, shows an admin token once, and stops', async () => {
    const first = await up();
    expect(first.url).toMatch(/^http:\/\/127\.0\.0\.1:\d+$/);
    const secret = first.firstToken ?? '';
    expect(await first.control.authenticate(secret)).toMatchObject({ role: 'admin' });
    await first.stop();
    const second = await up();
    expect(second.firstToken).toBeUndefined();
  });

  it('keeps tokens over a restart', async () => {
    const blobs: MemoryBlobs = { blobs: new Map() };
    const first = await up({ plugins: [memoryStorage(blobs)] });
    const secret = first.firstToken ?? '';
    await first.control.createServer({ name: 'web-1' }, 'test');
    await first.stop();
    const second = await up({ plugins: [memoryStorage(blobs)] });
    expect(await second.control.authenticate(secret)).toMatchObject({ name: 'admin' });
    expect((await second.control.getServer('web-1')).identity.machineId).toMatch(/^[0-9a-f]{32}$/);
  });

  it('rebuilds servers from the repository when its own state burnt', async () => {
    const blobs: MemoryBlobs = { blobs: new Map() };
    const first = await up({ plugins: [memoryStorage(blobs)] });
    const made = await first.control.createServer({ name: 'web-1' }, 'test');
    await first.stop();
    await rm(join(directory, 'state'), { recursive: true });
    const second = await up({ plugins: [memoryStorage(blobs)] });
    expect((await second.control.getServer('web-1')).identity).toEqual(made.identity);
  });

  it('runs twice in one process, each with its own state', async () => {
    const one = await up({}, { stateDir: join(directory, 'one') });
    const two = await up({}, { stateDir: join(directory, 'two') });
    await one.control.createServer({ name: 'only-here' }, 'test');
    expect(await two.control.listServers()).toEqual([]);
    expect(one.url).not.toBe(two.url);
  });

  it('takes a relative state directory from where the process stands, and keeps the repository in it', async () => {
    const state = join(directory, 'state of #1');
    const opened: string[] = [];
    const storage = plugin('storage-seen', (ctx) => {
      ctx.hooks.storage.open.tap(({ url }) => {
        opened.push(fileURLToPath(url));
        return new MemoryBlobStore({ blobs: new Map() });
      });
      return undefined;
    });
    await up({ plugins: [storage] }, { stateDir: relative(process.cwd(), state) });
    expect(opened).toEqual([join(state, 'repository')]);
    expect((await stat(state)).isDirectory()).toBe(true);
  });

  it('refuses a state directory that another appliance uses', async () => {
    await up();
    await expect(up()).rejects.toMatchObject({ code: 'STATE_LOCKED' });
  });

  it('gives the state directory back when it stops', async () => {
    await (await up()).stop();
    await expect(up()).resolves.toBeDefined();
  });

  it('refuses a state directory that cannot be made, and says what to do', async () => {
    await writeFile(join(directory, 'file'), '');
    const failure = up({}, { stateDir: join(directory, 'file', 'state') });
    await expect(failure).rejects.toMatchObject({ code: 'STATE_UNWRITABLE' });
    await expect(failure).rejects.toHaveProperty('remedy', expect.stringContaining('--state'));
  });

  it.skipIf(process.getuid?.() === 0)('refuses a state directory without the right to write', async () => {
    await chmod(directory, 0o500);
    await expect(up()).rejects.toMatchObject({ code: 'STATE_UNWRITABLE' });
    await chmod(directory, 0o700);
  });

  it('names the port that is taken, and leaves nothing locked behind', async () => {
    const blocker = createServer().listen(0, '127.0.0.1');
    await new Promise((resolve) => blocker.once('listening', resolve));
    const { port } = blocker.address() as { port: number };
    const failure = up({ http: { port } });
    await expect(failure).rejects.toMatchObject({ code: 'PORT_UNAVAILABLE' });
    await expect(failure).rejects.toThrow(String(port));
    blocker.close();
    await expect(up()).resolves.toBeDefined();
  });

  it('says when no plugin opens the repository', async () => {
    await expect(up({ plugins: [] })).rejects.toMatchObject({ code: 'DRIVER_MISSING' });
  });

  it('fails on a wrong configuration before anything is made', async () => {
    const wrong = { ...memoryStorage(), options: { surprise: 1 } };
    await expect(up({ plugins: [wrong] })).rejects.toMatchObject({ code: 'CONFIG_INVALID' });
    await expect(up({ plugins: [] }, {})).rejects.not.toMatchObject({ code: 'STATE_LOCKED' });
  });

  it('listens for machines as soon as a boot plugin is there', async () => {
    const boot = plugin('boot-nothing', () => undefined);
    const appliance = await up({ plugins: [memoryStorage(), boot] });
    expect(appliance.url).toMatch(/127\.0\.0\.1/);
    expect((await fetch(`${appliance.url.replace('127.0.0.1', '127.0.0.2')}/boot/x`)).status).toBe(404);
  });

  it('listens for itself only without one', async () => {
    const { url } = await up();
    await expect(fetch(`${url.replace('127.0.0.1', '127.0.0.2')}/boot/x`)).rejects.toThrow();
  });

  it('hands plugins their faces: control and port from start on, routes, state directories', async () => {
    let seen: unknown;
    const face = plugin(
      'api-test',
      (ctx) => ({
        routes: [
          {
            prefix: '/test',
            register: (server) => {
              server.get('/servers', async () => ctx.control.listServers());
            },
          },
        ],
      }),
      async (ctx) => {
        seen = { port: ctx.http.port, directory: await ctx.ensureStateDir(), info: await ctx.control.info() };
      },
    );
    const appliance = await up({ plugins: [memoryStorage(), face] });
    expect(seen).toMatchObject({
      port: Number(new URL(appliance.url).port),
      directory: join(directory, 'state', 'plugins', 'api-test'),
    });
    expect(await (await fetch(`${appliance.url}/test/servers`)).json()).toEqual([]);
  });

  it('stops what it started when a plugin cannot start', async () => {
    const broken = plugin(
      'notify-broken',
      () => undefined,
      async () => {
        throw new Error('no way');
      },
    );
    await expect(up({ plugins: [memoryStorage(), broken] })).rejects.toMatchObject({
      plugin: 'notify-broken',
    });
    await expect(up()).resolves.toBeDefined();
  });

  it('tells notifiers of events, one failing notifier or not', async () => {
    const told: Event[] = [];
    const notifiers = [
      plugin('notify-broken', (ctx) => {
        ctx.hooks.notification.notify.tap(() => {
          throw new Error('mail server on fire');
        });
        return undefined;
      }),
      plugin('notify-test', (ctx) => {
        ctx.hooks.notification.notify.tap((event) => {
          told.push(event);
        });
        return undefined;
      }),
    ];
    const appliance = await up({ plugins: [memoryStorage(), ...notifiers] });
    const operation = await appliance.control.importMaster(
      { name: 'web', source: join(directory, 'none') },
      'me',
    );
    const ended = await appliance.control.waitOperation(operation.id, {});
    expect(ended).toMatchObject({ state: 'failed', error: { code: 'NOT_FOUND' } });
    await appliance.stop();
    expect(told.map((event) => event.type)).toEqual(['operation.started', 'operation.failed']);
  });

  it('lets a machine in by its boot nonce, over HTTP, as soon as it is accepted', async () => {
    let netboot: PluginContext['netboot'] | undefined;
    const boot = plugin('boot-test', (ctx) => {
      netboot = ctx.netboot;
      ctx.hooks.boot.render.tap(() => ({ kind: 'script', text: 'boot' }));
      return undefined;
    });
    const { url, control } = await up({ plugins: [memoryStorage(), boot] });
    const mac = '52:54:00:00:00:01';
    const answer = await netboot?.answer({ mac, arch: 'bios-x86', client: 'ipxe', baseUrl: url });
    const nonce = answer?.plan.kind === 'ramdisk' ? answer.plan.nonce : '';
    const hello = async (body: object) => {
      const response = await fetch(`${url}/agent/v1/hello`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ protocol: 1, where: 'ramdisk', bootId: 'b1', facts: factsOf(mac), ...body }),
      });
      return { status: response.status, body: (await response.json()) as Record<string, unknown> };
    };
    const first = await hello({ nonce });
    expect(first).toMatchObject({ status: 200, body: { standing: 'held', machineName: 'machine-000001' } });
    await control.acceptMachine(mac, 'ann');
    expect((await hello({ resume: first.body.session })).body).toMatchObject({ standing: 'waiting' });
    expect((await hello({ nonce, bootId: 'b2' })).status).toBe(401);
    expect((await control.getMachine(mac)).facts?.arch).toBe('x86_64');
  });

  it('answers a range of a boot artifact', async () => {
    const bytes = Buffer.from('0123456789');
    const artifacts = plugin('boot-test', (ctx) => {
      ctx.hooks.boot.artifact.tap(({ name }) =>
        name === 'dir/file'
          ? {
              bytes: bytes.length,
              contentType: 'application/octet-stream',
              etag: 'v1',
              async *read(range) {
                yield range === undefined ? bytes : bytes.subarray(range.offset, range.offset + range.length);
              },
            }
          : undefined,
      );
      return undefined;
    });
    const { url } = await up({ plugins: [memoryStorage(), artifacts] });
    const get = (headers: Record<string, string>, method = 'GET') =>
      fetch(`${url}/boot/dir/file`, { method, headers });
    expect(await (await get({})).text()).toBe('0123456789');
    const part = await get({ range: 'bytes=2-4' });
    expect([part.status, await part.text(), part.headers.get('content-range')]).toEqual([
      206,
      '234',
      'bytes 2-4/10',
    ]);
    expect(await (await get({ range: 'bytes=-3' })).text()).toBe('789');
    expect((await get({ range: 'bytes=10-' })).status).toBe(416);
    expect((await get({ 'if-none-match': '"v1"' })).status).toBe(304);
    expect(await (await get({ range: 'bytes=2-4', 'if-range': '"old"' })).text()).toBe('0123456789');
    const head = await get({}, 'HEAD');
    expect([head.status, head.headers.get('content-length')]).toEqual([200, '10']);
    expect((await fetch(`${url}/boot/../etc/passwd`)).status).toBe(404);
    expect((await fetch(`${url}/boot/%2e%2e/etc/passwd`)).status).toBe(404);
  });
});

it('VERSION is the package’s', () => {
  expect(VERSION).toBe(packageJson.version);
});
