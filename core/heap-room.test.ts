import { setFlagsFromString } from 'node:v8';
import { afterEach, describe, expect, it, type Mock, vi } from 'vitest';
import { takeRoom, withRoom } from './heap-room.ts';

vi.mock('node:v8', { spy: true });

function percents(flags: Mock<typeof setFlagsFromString>): number[] {
  return flags.mock.calls.flatMap(([flag]) => (flag.includes('percent') ? [Number(flag.split('=')[1])] : []));
}

describe('a heap with room', () => {
  afterEach(() => {
    vi.unstubAllGlobals();
    vi.mocked(setFlagsFromString).mockReset();
  });

  it('has it while the work runs, and no longer, whatever comes of it', async () => {
    vi.stubGlobal('gc', () => undefined);
    const flags = vi.mocked(setFlagsFromString).mockImplementation(() => undefined);
    expect(await withRoom({ percent: 300 }, async () => percents(flags))).toEqual([300]);
    expect(percents(flags)).toEqual([300, 100]);
    const failing = withRoom({ percent: 200 }, () => Promise.reject(new Error('it failed')));
    await expect(failing).rejects.toThrow('it failed');
    expect(percents(flags)).toEqual([300, 100, 200, 100]);
  });

  it('has as much as the one of several wants that wants the most', () => {
    vi.stubGlobal('gc', () => undefined);
    const flags = vi.mocked(setFlagsFromString).mockImplementation(() => undefined);
    const [small, large] = [takeRoom({ percent: 200 }), takeRoom({ percent: 300 })];
    large();
    large();
    small();
    expect(percents(flags)).toEqual([200, 300, 200, 100]);
  });

  it('has room for buffers as long as one of several wants it', () => {
    vi.stubGlobal('gc', () => undefined);
    const flags = vi.mocked(setFlagsFromString).mockImplementation(() => undefined);
    const [plain, roomy] = [takeRoom({ percent: 200 }), takeRoom({ percent: 150, buffers: true })];
    const counting = () => flags.mock.calls.flat().filter((flag) => flag.includes('external-memory'));
    expect(counting()).toEqual(['--external-memory-accounted-in-global-limit']);
    plain();
    expect(counting()).toEqual(['--external-memory-accounted-in-global-limit']);
    roomy();
    expect(flags.mock.lastCall).toEqual(['--no-external-memory-accounted-in-global-limit']);
  });

  it('is left as it is without leave', async () => {
    vi.stubGlobal('gc', undefined);
    expect(await withRoom({ percent: 300 }, async () => 'done')).toBe('done');
    expect(setFlagsFromString).not.toHaveBeenCalled();
  });
});
