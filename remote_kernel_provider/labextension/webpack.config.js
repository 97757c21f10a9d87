// TypeScript goes into the bundle as it is, so that a build needs neither the compiler nor anybody's types.
module.exports = {
  resolve: { extensions: ['.tsx', '.ts', '.js'] },
  module: {
    rules: [
      {
        test: /\.tsx?$/,
        loader: 'builtin:swc-loader',
        options: {
          jsc: {
            parser: { syntax: 'typescript', tsx: true },
            target: 'es2022',
            // JupyterLab shares React and not its JSX runtime.
            transform: { react: { runtime: 'classic' } }
          }
        },
        type: 'javascript/auto'
      }
    ]
  }
};
