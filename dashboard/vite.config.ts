import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { defineConfig, type Plugin } from 'vite'
import type {} from 'vitest/config'

const ENVIRONMENT = process.env.LISTENER_ENV_FILE ?? '../.listener/env'

function environment(): Record<string, string> {
  const lines = readFileSync(ENVIRONMENT, 'utf8').split('\n')
  return Object.fromEntries(lines.map((line) => line.match(/^([A-Z_]+)=(.*)$/)?.slice(1) ?? []))
}

/** Answers `config.json` while developing, from what `make up` or `listener up` wrote, and asks its listener for previews. */
function stackOfTheListener(): Plugin {
  return {
    name: 'stack-of-the-listener',
    configureServer({ middlewares }) {
      middlewares.use('/config.json', (_, response) => {
        response.setHeader('Content-Type', 'application/json')
        try {
          const { SUPABASE_URL, SUPABASE_PUBLISHABLE_KEY, SUPABASE_ANON_KEY } = environment()
          response.end(JSON.stringify({
            supabaseUrl: SUPABASE_URL, publishableKey: SUPABASE_PUBLISHABLE_KEY ?? SUPABASE_ANON_KEY, listenerUrl: '.',
          }))
        } catch {
          response.statusCode = 503
          response.end(JSON.stringify({ message: `No stack is up: ${ENVIRONMENT} is missing. Start one with "make up".` }))
        }
      })
      middlewares.use('/api', (request, response) => {
        fetch(`${environment().LISTENER_HTTP_URL}/api${request.url}`).then(async (answer) => {
          response.statusCode = answer.status
          response.setHeader('Content-Type', answer.headers.get('Content-Type') ?? 'text/plain')
          response.end(await answer.text())
        }).catch((fault: unknown) => {
          response.statusCode = 502
          response.end(String(fault))
        })
      })
    },
  }
}

export default defineConfig({
  base: './', // the files work below any path
  plugins: [stackOfTheListener()],
  resolve: {
    alias: {
      'react-dom/test-utils': 'preact/test-utils',
      'react-dom': 'preact/compat',
      'react/jsx-runtime': 'preact/jsx-runtime',
      'react/jsx-dev-runtime': 'preact/jsx-runtime',
      react: 'preact/compat',
      '@supabase/storage-js': fileURLToPath(new URL('src/lib/no-storage.ts', import.meta.url)),
      'use-sync-external-store/shim/index.js': 'preact/compat',
    },
  },
  build: {
    outDir: '../listener/_dashboard', // the listener serves it, and the wheel carries it
    emptyOutDir: true,
    target: 'es2022',
    cssTarget: ['chrome123', 'firefox121', 'safari17.5'], // those that know light-dark()
    manifest: true,
    cssCodeSplit: false, // one file is smaller than nine, and what comes later in it does not depend on the way there
    modulePreload: { polyfill: false },
    rolldownOptions: {
      checks: { pluginTimings: false },
      onLog: (level, log, report) => log.code === 'MODULE_LEVEL_DIRECTIVE' || report(level, log), // "use client" of libraries
    },
    assetsInlineLimit: 0, // the content security policy allows no data: but in images
  },
  test: {
    environment: 'happy-dom',
    isolate: false, // an environment a file costs more than all the tests
    server: { deps: { inline: [/wouter/, /@tanstack/] } },
  },
})
