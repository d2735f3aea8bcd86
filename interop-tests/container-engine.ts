/**
 * Whether the servers of the tests run in containers: they do wherever a container engine answers.
 *
 * Only an engine of this very machine with host networking and the same process ids will do, since tests stop, freeze and
 * kill servers by signals, and sentinels, replicas and clients meet on ports of 127.0.0.1: Docker or Podman on Linux,
 * not rootless. `CELERIAC_CONTAINERS=0` leaves containers alone.
 */
import { existsSync } from 'node:fs'
import type { ContainerRuntimeClient } from 'testcontainers'

/** Asking costs a third of a second, in each test file: only where there may be an engine. */
function mayAnswer(): boolean {
  if (process.platform !== 'linux' || process.env.CELERIAC_CONTAINERS === '0') return false
  return Boolean(process.env.DOCKER_HOST?.startsWith('unix://')) || existsSync('/var/run/docker.sock')
}

async function find(): Promise<ContainerRuntimeClient | undefined> {
  if (!mayAnswer()) return undefined
  const { getContainerRuntimeClient } = await import('testcontainers')
  try {
    const client = await getContainerRuntimeClient()
    const info = (await client.container.dockerode.info()) as { SecurityOptions?: readonly string[] | null }
    return info.SecurityOptions?.some((option) => /rootless|userns/.test(option)) ? undefined : client
  } catch {
    return undefined
  }
}

/** The engine that runs the servers of the tests; undefined where installed programs do. */
export const containerEngine: ContainerRuntimeClient | undefined = await find()
