/** The hooks, by a shell's own check everywhere, and against a real cluster where PostgreSQL is installed. */

import { execFile, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

const run = promisify(execFile);
const here = fileURLToPath(new URL('.', import.meta.url));
const PRE = join(here, 'pre-snapshot.d/50-postgresql');
const POST = join(here, 'post-snapshot.d/50-postgresql');

test.each([PRE, POST])('%s is right for every shell at hand', (script) => {
  for (const shell of ['sh', 'dash', 'bash'].filter((name) => existsSync(`/bin/${name}`))) {
    execFileSync(`/bin/${shell}`, ['-n', script], { stdio: 'pipe' });
  }
});

test.each([PRE, POST])(
  '%s takes a process for alive that is about to become another program',
  async (script) => {
    const directory = mkdtempSync(join(tmpdir(), 'overdub-alive-'));
    const again = join(directory, 'again');
    writeFileSync(again, '#!/bin/sh\nexec "$0"\n', { mode: 0o755 });
    const process = spawn(again, { stdio: 'ignore' });
    try {
      writeFileSync(join(directory, 'pid'), `${process.pid}`);
      writeFileSync(join(directory, 'program'), again);
      const [alive = ''] = /^alive\(\) \{\n[\s\S]*?\n\}\n/m.exec(readFileSync(script, 'utf8')) ?? [];
      const asked = `${alive}n=0\nwhile [ $n -lt 300 ]; do alive ${directory} || exit 1; n=$((n + 1)); done\n`;
      await run('sh', ['-c', asked]);
      process.kill('SIGKILL');
      await once(process, 'exit');
      await expect(run('sh', ['-c', asked])).rejects.toMatchObject({ code: 1 });
    } finally {
      process.kill('SIGKILL');
      rmSync(directory, { recursive: true });
    }
  },
);

const versions = existsSync('/usr/lib/postgresql') ? readdirSync('/usr/lib/postgresql') : [];
const bin = `/usr/lib/postgresql/${versions.toSorted((a, b) => Number(a) - Number(b)).at(-1)}/bin`;
const installed =
  existsSync(join(bin, 'pg_ctl')) && process.getuid?.() === 0 && existsSync('/usr/sbin/runuser');

describe.skipIf(!installed)('against a real cluster', () => {
  const PORT = '54329';
  let root: string;
  let environment: NodeJS.ProcessEnv;
  const data = () => join(root, 'data');
  const asPostgres = (...command: string[]) =>
    run('runuser', ['-u', 'postgres', '--', ...command], { cwd: '/' });
  const sql = async (port: string, text: string, database = 'postgres') => {
    const { stdout } = await asPostgres(
      'psql',
      '-qAtX',
      '-h',
      join(root, 'sockets'),
      '-p',
      port,
      '-d',
      database,
      '-c',
      text,
    );
    return stdout.trim();
  };
  const start = (directory: string, port: string) =>
    asPostgres(
      join(bin, 'pg_ctl'),
      '-D',
      directory,
      '-w',
      '-s',
      '-l',
      `${directory}.log`,
      '-o',
      `-p ${port} -k ${join(root, 'sockets')} -c listen_addresses=''`,
      'start',
    );
  const stop = (directory: string) =>
    asPostgres(join(bin, 'pg_ctl'), '-D', directory, '-w', '-s', '-m', 'fast', 'stop');
  const hook = (path: string) => run(path, [], { env: environment, cwd: '/' });

  beforeAll(async () => {
    root = mkdtempSync(join(tmpdir(), 'overdub-pg-'));
    chmodSync(root, 0o755);
    for (const name of ['sockets', 'data']) mkdirSync(join(root, name));
    execFileSync('chown', ['-R', 'postgres', root]);
    environment = {
      PATH: process.env.PATH,
      OVERDUB_PG_SOCKETS: join(root, 'sockets'),
      OVERDUB_PG_RUN: join(root, 'run'),
    };
    await asPostgres(join(bin, 'initdb'), '-D', data(), '-A', 'trust', '--no-sync');
    await start(data(), PORT);
    await sql(PORT, 'CREATE TABLE orders (id bigserial PRIMARY KEY, note text)');
  });

  afterAll(async () => {
    if (root === undefined) return;
    await hook(PRE).catch(() => {});
    await hook(POST).catch(() => {});
    await stop(data()).catch(() => {});
    rmSync(root, { recursive: true, force: true });
  });

  /** Clients that commit without pause until told to stop; resolves with the number of rows they committed. */
  function load() {
    const client = spawn(
      'runuser',
      ['-u', 'postgres', '--', 'psql', '-qAtX', '-h', join(root, 'sockets'), '-p', PORT, '-d', 'postgres'],
      { cwd: '/' },
    );
    let going = true;
    const insert = (async () => {
      while (going) {
        client.stdin.write(
          "INSERT INTO orders (note) SELECT repeat('x', 200) FROM generate_series(1, 50);\n",
        );
        await delay(5);
      }
      client.stdin.end();
      await new Promise((resolve) => client.once('close', resolve));
    })();
    return async () => {
      going = false;
      await insert;
    };
  }

  /** Does to a copy what the agent does to a snapshot: `put`, `rescan` and, of all that, `omit`. */
  function carryOut(directives: string, copy: string): void {
    const omitted: string[] = [];
    for (const line of directives.trim().split('\n')) {
      const [word, path = '', file = ''] = line.split(' ');
      const inside = join(copy, path.slice(data().length));
      if (word === 'put') execFileSync('cp', ['-p', file, inside]);
      else if (word === 'rescan') {
        rmSync(inside, { recursive: true });
        execFileSync('cp', ['-a', path, inside]);
      } else if (word === 'omit') omitted.push(inside);
      else throw new Error(`unknown directive: ${line}`);
    }
    for (const path of omitted) rmSync(path, { recursive: true });
  }

  test('a copy made between them, under load, starts and is whole', async () => {
    const stopLoad = load();
    await delay(300);
    await hook(PRE);
    const before = Number(await sql(PORT, 'SELECT count(*) FROM orders'));
    await sql(PORT, 'CREATE DATABASE born_during');
    const copy = join(root, 'copy');
    execFileSync('cp', ['-a', data(), copy]);
    await sql(PORT, 'CHECKPOINT');
    await delay(300);
    const during = Number(await sql(PORT, 'SELECT count(*) FROM orders'));
    const { stdout } = await hook(POST);
    carryOut(stdout, copy);
    await stopLoad();

    expect(existsSync(join(data(), 'backup_label'))).toBe(false);
    // From the segment that the label names: what lay before it and behind is not there.
    const segments = (directory: string) =>
      readdirSync(join(directory, 'pg_wal')).filter((name) => /^[0-9A-F]{24}$/.test(name));
    const [first] = segments(copy).toSorted();
    expect(readFileSync(join(copy, 'backup_label'), 'utf8')).toContain(`(file ${first})`);
    const out = readFileSync(join(root, 'run', PORT, 'out'), 'utf8');
    expect(segments(copy).toSorted().at(-1)).toBe(/^overdub-last (\w+)$/m.exec(out)?.[1]);
    expect(readdirSync(join(copy, 'pg_replslot'))).toEqual([]);
    expect(readFileSync(join(copy, 'backup_label'), 'utf8')).toMatch(
      /^START WAL LOCATION: [\s\S]*LABEL: overdub\n[^\n]*\n$/,
    );
    rmSync(join(copy, 'postmaster.pid'));
    await start(copy, '54330');
    try {
      expect(before).toBeGreaterThan(0);
      expect(Number(await sql('54330', 'SELECT count(*) FROM orders'))).toBeGreaterThanOrEqual(during);
      expect(await sql('54330', 'SELECT max(id) = count(*) FROM orders')).toBe('t');
      expect(await sql('54330', 'SELECT 1', 'born_during')).toBe('1');
      await sql('54330', 'CREATE EXTENSION amcheck');
      await asPostgres(
        join(bin, 'pg_amcheck'),
        '-h',
        join(root, 'sockets'),
        '-p',
        '54330',
        '-d',
        'postgres',
        '--heapallindexed',
      );
      expect(existsSync(join(copy, 'backup_label.old'))).toBe(true);
      expect(readFileSync(`${copy}.log`, 'utf8')).toContain('consistent recovery state reached');
    } finally {
      await stop(copy);
    }
  });

  test('the session holds backup mode and slot until the post hook, and the next pre hook ends what is left', async () => {
    const sessions = () =>
      sql(PORT, "SELECT count(*) FROM pg_replication_slots WHERE slot_name LIKE 'overdub%'");
    const clients = async () =>
      (
        await run('pgrep', ['-c', '-f', '--', `--host=${join(root, 'sockets')} --port=${PORT} --dbname`])
      ).stdout.trim();
    await hook(PRE);
    expect([await sessions(), await clients()]).toEqual(['1', '2']);
    await hook(PRE);
    // psql and the runuser above it, once.
    expect([await sessions(), await clients()]).toEqual(['1', '2']);
    const { stdout } = await hook(POST);
    const lines = stdout.trim().split('\n');
    expect(lines.filter((line) => !line.startsWith('omit '))).toEqual([
      `put ${data()}/backup_label ${join(root, 'run', PORT, 'backup_label')}`,
      `rescan ${data()}/pg_wal`,
    ]);
    expect(lines.filter((line) => line.includes('pg_replslot'))).toEqual([
      expect.stringMatching(/^omit \S+\/data\/pg_replslot\/overdub_\d+$/),
    ]);
  });

  test('WAL that another slot or the archiver wants is taken, and a slot that is not ours', async () => {
    const segment = async () => sql(PORT, 'SELECT pg_walfile_name(pg_current_wal_lsn())');
    const onward = () => sql(PORT, "INSERT INTO orders (note) VALUES ('x'); SELECT pg_switch_wal()");
    const omitted = async () => {
      await hook(PRE);
      const { stdout } = await hook(POST);
      return stdout.split('\n').flatMap((line) => /^omit .*\/(\w+)$/.exec(line)?.[1] ?? []);
    };
    const early = await segment();
    await onward();
    const ready = join(data(), 'pg_wal/archive_status', `${early}.ready`);
    writeFileSync(ready, '');
    await sql(PORT, "SELECT pg_create_physical_replication_slot('overdub_mine', true)");
    const held = await segment();
    await onward();
    const kept = await omitted();
    expect(kept).not.toContain(held);
    expect(kept).not.toContain('overdub_mine');
    expect(existsSync(join(data(), 'pg_wal', early))).toBe(true);
    expect(kept).not.toContain(early);
    await sql(PORT, "SELECT pg_drop_replication_slot('overdub_mine')");
    rmSync(ready);
  });

  test('a session that is slow to come up misses none of its commands', async () => {
    const slow = join(root, 'slow');
    const text = readFileSync(PRE, 'utf8').replace(/^ {2}(setsid timeout .*) &$/m, '  (sleep 2; exec $1) &');
    expect(text).toContain('sleep 2');
    writeFileSync(slow, text, { mode: 0o755 });
    const { stdout } = await hook(slow);
    expect(stdout.trim()).toBe(`defer ${data()}/pg_wal`);
    expect((await hook(POST)).stdout).toContain('backup_label');
  });

  test('a session that died in mid-snapshot fails the post hook', async () => {
    await hook(PRE);
    await sql(
      PORT,
      "SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name LIKE 'overdub%'",
    );
    await delay(200);
    await expect(hook(POST)).rejects.toMatchObject({
      stderr: expect.stringContaining('postgresql: port 54329'),
    });
  });

  test('the watchdog ends a session that nobody ends', async () => {
    environment.OVERDUB_PG_LIMIT = '1';
    await hook(PRE);
    delete environment.OVERDUB_PG_LIMIT;
    await delay(2500);
    await expect(hook(POST)).rejects.toMatchObject({
      stderr: expect.stringContaining('ended before the snapshot'),
    });
  });

  test('backup mode that cannot begin fails the pre hook and says why', async () => {
    await sql(PORT, 'ALTER DATABASE postgres ALLOW_CONNECTIONS false', 'template1');
    try {
      await expect(hook(PRE)).rejects.toMatchObject({
        stderr: expect.stringContaining('not currently accepting connections'),
      });
    } finally {
      await sql(PORT, 'ALTER DATABASE postgres ALLOW_CONNECTIONS true', 'template1');
    }
    await hook(POST);
  });

  test('a cluster that is down is left alone', async () => {
    await stop(data());
    try {
      await hook(PRE);
      expect((await hook(POST)).stdout).toBe('');
    } finally {
      await start(data(), PORT);
    }
  });
});

test('without any cluster both do nothing', async () => {
  const empty = mkdtempSync(join(tmpdir(), 'overdub-pg-none-'));
  try {
    const env = { PATH: process.env.PATH, OVERDUB_PG_SOCKETS: empty, OVERDUB_PG_RUN: join(empty, 'run') };
    await run(PRE, [], { env });
    expect((await run(POST, [], { env })).stdout).toBe('');
  } finally {
    rmSync(empty, { recursive: true });
  }
});
