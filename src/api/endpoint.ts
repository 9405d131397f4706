/** `HOST:PORT` for people and logs; an IPv6 address gets its brackets. */
export function endpointText(address: string, port: number): string {
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
}
