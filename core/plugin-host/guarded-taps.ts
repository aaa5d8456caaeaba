import { OverdubError } from '../errors.ts';
import type { HookTaps } from '../hooks/hooks.ts';

/** Asked at every tap and every call of a tap. */
export interface TapGuard {
  /** Taps are made in `apply` only, so that `config check` sees all of them. */
  mayTap(): boolean;
  /** A failed or stopped plugin answers "not mine". */
  mayAnswer(): boolean;
}

type AnyTap = { tap(handler: (input: unknown) => unknown, options?: unknown): void };

/** The same frozen groups, obeying the guard. */
export function guardTaps(plugin: string, taps: HookTaps, guard: TapGuard): HookTaps {
  const groups = Object.entries(taps).map(([group, verbs]) => {
    const guarded = Object.entries(verbs as Record<string, AnyTap>).map(
      ([verb, hook]) => [verb, guardOne(plugin, `${group}.${verb}`, hook, guard)] as const,
    );
    return [group, Object.freeze(Object.fromEntries(guarded))] as const;
  });
  return Object.freeze(Object.fromEntries(groups)) as unknown as HookTaps;
}

function guardOne(plugin: string, name: string, hook: AnyTap, guard: TapGuard): AnyTap {
  return Object.freeze({
    tap(handler: (input: unknown) => unknown, options?: unknown): void {
      if (!guard.mayTap()) {
        throw new OverdubError(
          'PLUGIN_FAILED',
          `${plugin} taps ${name} outside apply().`,
          'Tap in apply(); what is not ready yet can be awaited inside the tap.',
          { plugin, hook: name },
        );
      }
      hook.tap(
        typeof handler === 'function' ? (input) => (guard.mayAnswer() ? handler(input) : undefined) : handler,
        options,
      );
    },
  });
}
