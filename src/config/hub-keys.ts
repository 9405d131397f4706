import { CONFIG_KEYS, type ConfigKey, type ConfigTable } from './keys.ts';

/** Every key of a hub, in the order of the documentation. Variables of a name mean the same for nodes and hubs. */
export const HUB_KEYS: readonly ConfigKey[] = [
  {
    key: 'dataDir',
    flag: '--data-dir',
    placeholder: 'DIR',
    variable: 'HOLDFAST_DATA_DIR',
    type: 'path',
    default: './holdfast-hub',
    meaning: 'Directory of the identity and, without a database, of the data; one process at a time.',
    expects: 'a path to a directory',
  },
  {
    key: 'name',
    flag: '--name',
    placeholder: 'NAME',
    variable: 'HOLDFAST_NAME',
    type: 'text',
    default: 'the host name',
    meaning: 'Name of the hub for people.',
    expects:
      '1 to 64 letters, digits, dots, dashes or underscores, beginning with a letter or digit (quoted, if it is a number)',
  },
  {
    key: 'listen',
    flag: '--listen',
    placeholder: 'MULTIADDR',
    variable: 'HOLDFAST_LISTEN',
    type: 'list',
    default: '/ip4/0.0.0.0/tcp/7500',
    meaning: 'Where nodes of sites connect; the flag is repeatable, the variable takes a comma-separated list.',
    expects: '1 to 16 addresses like /ip4/0.0.0.0/tcp/7500',
  },
  {
    key: 'announce',
    flag: '--announce',
    placeholder: 'MULTIADDR',
    variable: 'HOLDFAST_ANNOUNCE',
    type: 'list',
    default: '',
    meaning:
      'Shown as the addresses of the hub, where a NAT or proxy is in between; the flag is repeatable, the variable takes a comma-separated list.',
    expects: 'at most 16 addresses like /dns4/hub.example.com/tcp/7500',
  },
  {
    key: 'http',
    flag: '--http',
    placeholder: 'HOST:PORT',
    variable: 'HOLDFAST_HTTP',
    type: 'hostPort',
    default: '127.0.0.1:7580',
    meaning: 'Listener of the HTTP API.',
    expects: 'HOST:PORT, like 127.0.0.1:7580 or [::1]:7580',
  },
  {
    key: 'database',
    flag: '--database',
    placeholder: 'URL',
    variable: 'HOLDFAST_DATABASE',
    type: 'database',
    default: '',
    meaning:
      'PostgreSQL database that holds the data, which several hubs may share. Without one the hub keeps it itself.',
    expects: 'a URL like postgres://USER:PASSWORD@HOST:5432/DATABASE',
  },
  ofNodes('hub', 'Hub above this one, with which all sites are exchanged further; needs the token of a site there.'),
  ofNodes('hubToken', 'Token of the site that this hub is at the hub above.'),
  ofNodes('hubTokenFile'),
  ofNodes('logLevel'),
  ofNodes('logFormat'),
  ofNodes('tuning.hubBytesPerSecond', 'How fast this hub sends to the hub above; 0B is as fast as it goes.'),
];

/** The key of a node of that name; `meaning`: where it has another one. */
function ofNodes(name: string, meaning?: string): ConfigKey {
  const found = CONFIG_KEYS.find(({ key }) => key === name) as ConfigKey;
  return meaning === undefined ? found : { ...found, meaning };
}

export const HUB_TABLE: ConfigTable = { keys: HUB_KEYS, file: 'holdfast-hub.yaml' };
