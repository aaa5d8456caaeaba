/**
 * Imports go one way (docs/architecture.md). A broken rule is an error.
 * domain ← contracts ← hooks ← plugin-host; domain ← repository, catalogue; all ← operations ← scheduler ← appliance
 * ← index ← cli. A plugin sees @overdub/core's public doors and lib-*; nothing sees a plugin's insides.
 */

/** Tests and what only they use. */
const TEST = '(\\.test|[/-]fixture|\\.fixture)\\.ts$';
/** Inside the core: what each room may import of the core besides itself, domain, contracts and errors. */
const ROOMS = {
  hooks: [],
  'plugin-host': ['hooks'],
  repository: [],
  catalogue: [],
  netboot: ['hooks', 'catalogue', 'operations'],
  gateway: [],
  power: ['hooks'],
  operations: ['hooks', 'catalogue'],
  control: ['catalogue', 'operations', 'hooks'],
  scheduler: ['catalogue', 'operations'],
};
/** Inside the repository: what each room may import of the others. What lies beside the rooms puts them together. */
const REPOSITORY_ROOMS = {
  store: [],
  packs: [],
  'chunk-index': ['store', 'packs'],
  deltas: ['packs'],
  reading: ['store', 'packs', 'chunk-index', 'deltas'],
  ingest: ['store', 'packs', 'chunk-index', 'deltas', 'reading'],
  upkeep: ['store', 'packs', 'chunk-index', 'deltas', 'reading', 'ingest'],
};
/** Small files of the core's root that know no room. */
const LEAVES = '(errors|version|late-bound|unnamed-file|waiting-garbage|heap-room|written)\\.ts$';

/** Rules of one room. */
function room([name, others]) {
  return {
    name: `core-${name}`,
    comment: `core/${name} may import domain, contracts${others.map((other) => `, ${other}`).join('')} and nothing else of the core`,
    severity: 'error',
    from: { path: `^core/${name}/`, pathNot: TEST },
    to: {
      path: '^core/',
      pathNot: `^core/(${['domain', 'contracts', name, ...others].join('|')})/|^core/${LEAVES}`,
    },
  };
}

/** Likewise, inside the repository. */
function repositoryRoom([name, others]) {
  return {
    name: `repository-${name}`,
    comment: `core/repository/${name} may import ${others.join(', ') || 'nothing'} of the repository and nothing else of it`,
    severity: 'error',
    from: { path: `^core/repository/${name}/`, pathNot: TEST },
    to: { path: '^core/repository/', pathNot: `^core/repository/(${[name, ...others].join('|')})/` },
  };
}

module.exports = {
  forbidden: [
    {
      name: 'no-cycles',
      comment: 'Data flows one way. Types may refer to one another across files.',
      severity: 'error',
      from: {},
      to: { circular: true, viaOnly: { dependencyTypesNot: ['type-only'] } },
    },
    {
      name: 'resolvable',
      comment: 'An import that does not resolve',
      severity: 'error',
      from: {},
      to: { couldNotResolve: true },
    },
    {
      name: 'core-domain',
      comment:
        'domain holds data and pure functions: it imports domain and errors (and node:crypto, which is pure)',
      severity: 'error',
      from: { path: '^core/domain/', pathNot: TEST },
      to: { pathNot: '^core/domain/|^core/errors\\.ts$|^(node:)?(buffer|crypto|stream|util|zlib)(/|$)' },
    },
    {
      name: 'core-contracts',
      comment: 'contracts import domain, and the names of the hooks as types',
      severity: 'error',
      from: { path: '^core/contracts/' },
      to: { path: '^core/', pathNot: '^core/(domain|contracts)/|^core/errors\\.ts$|^core/hooks/hooks\\.ts$' },
    },
    {
      name: 'contracts-take-only-types-of-hooks',
      severity: 'error',
      from: { path: '^core/contracts/' },
      to: { path: '^core/hooks/', dependencyTypesNot: ['type-only'] },
    },
    ...Object.entries(ROOMS).map(room),
    ...Object.entries(REPOSITORY_ROOMS).map(repositoryRoom),
    {
      name: 'core-cli',
      comment: 'cli stands on the public index and on domain and contracts',
      severity: 'error',
      from: { path: '^core/cli/', pathNot: TEST },
      to: { path: '^core/', pathNot: '^core/(cli|contracts|domain)/|^core/(index|errors)\\.ts$' },
    },
    {
      name: 'core-root',
      comment: 'nothing but cli and testing stands above the composition root',
      severity: 'error',
      from: { path: '^core/[^/]+/', pathNot: `^core/(cli|testing)/|${TEST}` },
      to: { path: '^core/(index|appliance|appliance-rooms|control|http-server)\\.ts$' },
    },
    {
      name: 'core-testing-is-for-tests',
      comment: 'suites and fakes are no part of the program',
      severity: 'error',
      from: { path: '^(core|plugins)/', pathNot: `^core/testing/|/testing/|${TEST}` },
      to: { path: '^core/testing/' },
    },
    {
      name: 'core-knows-no-plugin',
      severity: 'error',
      from: { path: '^core/', pathNot: TEST },
      to: { path: '^plugins/' },
    },
    {
      name: 'only-attribution-imports-tapable',
      severity: 'error',
      from: { pathNot: '^core/hooks/attribution\\.ts$' },
      to: { path: 'node_modules/tapable/' },
    },
    {
      name: 'machine-half-is-light',
      comment: 'what runs on machines has no server-side dependency',
      severity: 'error',
      from: { path: '^core/agent\\.ts$' },
      to: {
        reachable: true,
        path: 'node_modules/(fastify|kysely|pino|tapable|typebox|citty|cli-table3)/',
      },
    },
    {
      name: 'plugin-sees-public-doors',
      comment: 'a plugin imports @overdub/core, @overdub/core/agent and, in tests, @overdub/core/testing',
      severity: 'error',
      from: { path: '^plugins/' },
      to: { path: '^core/', pathNot: '^core/(index|agent|testing/index)\\.ts$' },
    },
    {
      name: 'plugin-sees-no-plugin',
      comment: 'what two plugins need is a lib-*',
      severity: 'error',
      from: { path: '^plugins/([^/]+)/', pathNot: TEST },
      to: { path: '^plugins/', pathNot: '^plugins/($1|lib-[^/]+)/' },
    },
    {
      name: 'no-undeclared-packages',
      comment: 'every npm package is in the package.json of who imports it',
      severity: 'error',
      from: { path: '^(core|plugins)/', pathNot: `/testing/|${TEST}` },
      to: { dependencyTypes: ['npm-no-pkg', 'npm-unknown', 'npm-dev'] },
    },
    {
      name: 'nobody-imports-tests',
      severity: 'error',
      from: { pathNot: TEST },
      to: { path: TEST },
    },
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    exclude: { path: '(^|/)dist/' },
    tsConfig: { fileName: 'tsconfig.json' },
    tsPreCompilationDeps: 'specify',
    combinedDependencies: false,
    enhancedResolveOptions: {
      conditionNames: ['overdub-source', 'import', 'node', 'default'],
      exportsFields: ['exports'],
      extensions: ['.ts', '.mjs', '.cjs', '.js', '.json', '.d.ts'],
    },
  },
};
