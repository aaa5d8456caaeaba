/** The whole story, as `npm run demo` plays it, under UEFI: full DHCP, provision, drift, rollback, move, return. */

import { spawn } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { DemoReport } from '../../examples/demo/report.ts';

const DEMO = resolve(import.meta.dirname, '../../examples/demo/main.ts');

let directory: string;
let report: DemoReport;
let status: number | null;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'overdub-story-'));
  const file = join(directory, 'report.json');
  const args = ['--conditions=overdub-source', DEMO, '--firmware', 'uefi', '--report', file];
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'inherit', 'inherit'] });
  status = await new Promise((done) => child.on('exit', (code) => done(code)));
  report = JSON.parse(await readFile(file, 'utf8')) as DemoReport;
});

afterAll(() => rm(directory, { recursive: true, force: true }));

describe('the whole story under UEFI', () => {
  const steps = [
    'set the stage',
    'import the master',
    'naked machines netboot',
    'a machine becomes web-1',
    'the server drifts',
    'it snapshots itself',
    'the break-in',
    'the difference',
    'back in time',
    'the machine burns',
    'the dead box returns',
    'without the appliance',
  ];

  it.each(steps)('%s', (name) => {
    const step = report.steps.find((candidate) => candidate.name === name);
    expect(step, report.error).toBeDefined();
    expect(step?.checks.filter((check) => !check.ok)).toEqual([]);
    expect(step?.ok).toBe(true);
  });

  it('says that every check held, and exits with 0', () => {
    expect(report.error).toBeUndefined();
    expect(report).toMatchObject({ ok: true, firmware: 'uefi' });
    expect(status).toBe(0);
    expect(report.steps.flatMap((step) => step.checks).length).toBeGreaterThan(30);
  });
});
