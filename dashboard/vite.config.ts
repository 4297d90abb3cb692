import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { defineConfig, type Plugin } from 'vite'
import type {} from 'vitest/config'

const ENVIRONMENT = process.env.LISTENER_ENV_FILE ?? '../.listener/env'

/** Answers `config.json` while developing, from what `make up` or `listener up` wrote. */
function configOfTheStack(): Plugin {
  return {
    name: 'config-of-the-stack',
    configureServer(server) {
      server.middlewares.use('/config.json', (_, response) => {
        response.setHeader('Content-Type', 'application/json')
        try {
          const lines = readFileSync(ENVIRONMENT, 'utf8').split('\n')
          const env = Object.fromEntries(lines.map((line) => line.match(/^([A-Z_]+)=(.*)$/)?.slice(1) ?? []))
          response.end(JSON.stringify({
            supabaseUrl: env.SUPABASE_URL,
            publishableKey: env.SUPABASE_PUBLISHABLE_KEY ?? env.SUPABASE_ANON_KEY,
            listenerUrl: env.LISTENER_HTTP_URL,
          }))
        } catch {
          response.statusCode = 503
          response.end(JSON.stringify({ message: `No stack is up: ${ENVIRONMENT} is missing. Start one with "make up".` }))
        }
      })
    },
  }
}

export default defineConfig({
  base: './', // the files work below any path
  plugins: [configOfTheStack()],
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
    manifest: true,
    modulePreload: { polyfill: false },
    rolldownOptions: {
      onLog: (level, log, report) => log.code === 'MODULE_LEVEL_DIRECTIVE' || report(level, log), // "use client" of libraries
    },
    assetsInlineLimit: 0, // the content security policy allows no data: but in images
  },
  test: {
    environment: 'happy-dom',
    server: { deps: { inline: [/wouter/, /@tanstack/] } },
  },
})
