import type { CollectionReport, RepairReport, VerifyReport } from '@overdub/core';
import { afterEach, beforeEach, expect, test } from 'vitest';
import * as records from '../../../plugins/api-http/testing/records.ts';
import { appliance, by, done, setUp, tearDown } from './harness.ts';

beforeEach(setUp);
afterEach(tearDown);

const sound: VerifyReport = {
  sound: true,
  images: 3,
  packs: 12,
  readPacks: 12,
  readChunks: 4_711,
  readBytes: 180_000_000,
  damagedChunks: 0,
  damagedImages: [],
  damagedRecords: [],
  damagedPacks: [],
  damagedPacksTotal: 0,
  places: [],
  placesTotal: 0,
};
const damaged: VerifyReport = {
  ...sound,
  sound: false,
  damagedChunks: 1,
  damagedImages: ['web-1@s1'],
  damagedPacks: [{ pack: 'packs/ab/abcd.pack', why: '1 of its chunks are damaged: it does not match' }],
  damagedPacksTotal: 1,
  places: [{ image: 'web-1@s1', server: 'web-1', snapshot: 's1', path: 'etc/\u001b[2Jpasswd', what: 'file' }],
  placesTotal: 61,
};

const ended = (kind: 'gc' | 'verify' | 'repair', result: object) => {
  const { server: _server, ...operation } = { ...done, kind, result: { ...result } };
  return {
    collectGarbage: async () => records.operation,
    repairRepository: async () => records.operation,
    verifyRepository: async () => records.operation,
    getOperation: async () => operation,
    waitOperation: async () => operation,
  };
};

test('verify says what it looked at, exit code 0 when all is sound', async () => {
  const { overdub } = await appliance(ended('verify', sound));
  const { code, out } = await overdub('verify', '--read-data');
  expect(code).toBe(0);
  expect(out).toContain('3 images, 12 packs');
  expect(out).toContain('180 MB: 4711 chunks in 12 packs');
});

test('verify names damage by image and path, nothing of it reaches the terminal raw, exit code 1', async () => {
  const { overdub } = await appliance(ended('verify', damaged));
  const { code, out } = await overdub('verify');
  expect(code).toBe(1);
  expect(out).toMatch(/web-1@s1 +\/etc\/.*passwd/);
  expect(out).not.toContain('\u001b');
  expect(out).toContain('… and 60 more');
  expect(out).toContain('overdub repair');
  const json = await overdub('verify', '--json');
  expect(json.code).toBe(1);
  expect(JSON.parse(json.out).result).toEqual(damaged);
});

test.each([
  [[], { readData: false }],
  [['--read-data'], { readData: true }],
  [['--sample', '5%'], { readData: true, samplePercent: 5 }],
  [['--read-data', '--sample', '0.5'], { readData: true, samplePercent: 0.5 }],
])('verify %j is asked as it is meant', async (flags, request) => {
  const { overdub, calls } = await appliance(ended('verify', sound));
  await overdub('verify', ...flags);
  expect(calls[0]).toEqual({ method: 'verifyRepository', args: [request, by] });
});

test.each(['0', '101%', 'some', '-5'])('verify --sample %s is wrong usage', async (share) => {
  const { overdub, calls } = await appliance(ended('verify', sound));
  const { code } = await overdub('verify', `--sample=${share}`);
  expect(code).toBe(2);
  expect(calls).toEqual([]);
});

test('repair says who was asked and what is left, exit code 1 then', async () => {
  const { damagedPacks: _packs, damagedPacksTotal: _total, images: _images, ...left } = damaged;
  const report: RepairReport = {
    ...(left as unknown as RepairReport),
    salvagedPacks: 0,
    repairedChunks: 7,
    asked: [
      { server: 'web-1', outcome: 'sent' },
      { server: 'web-2', outcome: 'absent' },
    ],
  };
  const { overdub, calls } = await appliance(ended('repair', report));
  const { code, out } = await overdub('repair', '--read-data');
  expect(code).toBe(1);
  expect(calls[0]).toEqual({ method: 'repairRepository', args: [{ readData: true }, by] });
  expect(out).toMatch(/repaired +7 chunks/);
  expect(out).toMatch(/web-2 +is away/);
  expect(out).toContain('web-1@s1');
  const whole = await appliance(ended('repair', { ...report, sound: true, places: [], placesTotal: 0 }));
  expect(await whole.overdub('repair')).toMatchObject({ code: 0 });
});

const repository = { chunks: 0, logicalBytes: 0, storedBytes: 0, packs: 0, byForm: {} };

test('stats shows what is held, by form, server and master', async () => {
  const { overdub } = await appliance({
    info: async () => ({ version: '1', startedAt: '', plugins: [], state: '', repository }),
    repositoryUsage: async () => records.usage,
  });
  const { code, out, err } = await overdub('stats');
  expect({ code, err }).toEqual({ code: 0, err: '' });
  expect(out).toMatch(/stored +240 MB, 179\.2 to 1/);
  expect(out).toMatch(/gc would free +18\.0 MB/);
  expect(out).toMatch(/zstd +1000 +50\.0 MB +10\.0 MB/);
  expect(out).toMatch(/web-1 +96 +42\.0 GB +9\.0 MB +4\.0 MB +120 MB/);
  expect(out).toMatch(/MASTER +VERSIONS/);
  expect(JSON.parse((await overdub('stats', '--json')).out)).toMatchObject({
    version: '1',
    usage: records.usage,
  });
});

test('gc says what was freed, or would be', async () => {
  const report: CollectionReport = {
    dryRun: true,
    liveChunks: 100,
    liveBytes: 5_000_000,
    packs: 4,
    packBytes: 40_000_000,
    removedPacks: 3,
    freedBytes: 36_000_000,
    copiedPacks: 1,
    copiedBytes: 1_000_000,
  };
  const { overdub } = await appliance(ended('gc', report));
  const { code, out } = await overdub('gc', '--dry-run');
  expect(code).toBe(0);
  expect(out).toMatch(/would free +35\.0 MB/);
  expect(out).toMatch(/would copy +1\.0 MB out of 1 packs/);
});
