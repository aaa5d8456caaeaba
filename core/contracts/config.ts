import type { ConfiguredPlugin } from './plugin.ts';

/** What `overdub.config.ts` exports (through `defineConfig`) and `createAppliance` takes. */
export interface ApplianceConfig {
  readonly plugins: readonly ConfiguredPlugin[];
  /** Where the appliance keeps everything of its own. CLI: `--state`. */
  readonly state?: string;
  /** HTTP listener. Default: host `127.0.0.1` without boot plugins, `0.0.0.0` with them; port 7077. */
  readonly http?: { readonly host?: string; readonly port?: number };
  /** Repository URL handed to `storage.open`. Default: `file:` + state + `/repository`. */
  readonly repository?: string;
}
