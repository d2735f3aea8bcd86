import { arch, platform, release } from 'node:os'
import { inspect } from 'node:util'
import type { Command } from 'commander'
import { censored, changedSettings } from '../../app/config.js'
import { redactUrl } from '../../broker-url.js'
import { appOf, globalOptions, outputOf, type Terminal } from '../global-options.js'
import { version } from '../version.js'

/** `celeriac report`: what to paste into a bug report, without secrets (surface CLI-024, `celery/app/utils.py` bugreport). */
export function reportCommand(parent: Command, terminal: Terminal): void {
  parent
    .command('report')
    .description('versions, platform and settings, for bug reports')
    .action(async (_: object, command: Command) => {
      const global = globalOptions(command)
      await using app = await appOf(global, terminal)
      const report = {
        software: { celeriac: version, node: process.versions.node, protocol: 2 },
        platform: { system: platform(), arch: arch(), release: release() },
        transport: redactUrl(String(app.conf.brokerUrl ?? 'amqp://')),
        results: app.backend.displayUrl,
        settings: censored(changedSettings(app.conf)),
      }
      outputOf(global, terminal).value(report, (r) =>
        [
          '',
          `software -> celeriac:${r.software.celeriac} node:${r.software.node}`,
          `platform -> system:${r.platform.system} arch:${r.platform.arch}`,
          `            kernel version:${r.platform.release}`,
          `settings -> transport:${r.transport} results:${r.results}`,
          '',
          ...Object.entries(r.settings).map(
            ([name, value]) => `${name}: ${inspect(value, { depth: 4, breakLength: 100 })}`,
          ),
          '',
        ].join('\n'),
      )
    })
}
