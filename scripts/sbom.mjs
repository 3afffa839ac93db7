/**
 * The bill of materials that each package and image brings, as `build/undrop.cdx.json`: npm's, of
 * the packages in the product. package.json has all of them as devDependencies, because an
 * installation fetches none.
 */
import { execFileSync } from 'node:child_process';

const NPM_SBOM = [
  ...['sbom', '--sbom-format=cyclonedx', '--sbom-type=application'],
  ...['--package-lock-only', '--include=dev'],
];

/** In CycloneDX; each of `packages` has a name and a version. */
export function sbomOf(packages, { cwd }) {
  const options = { cwd, encoding: 'utf8', maxBuffer: 2 ** 26 };
  const { metadata, components, dependencies, ...rest } = JSON.parse(
    execFileSync('npm', NPM_SBOM, options),
  );
  const refs = packages.map(({ name, version }) => `${name}@${version}`);
  const missing = refs.filter((ref) => !components.some((one) => one['bom-ref'] === ref));
  if (missing.length > 0) throw new Error(`npm sbom: expected ${missing.join(', ')}, not found.`);
  // npm takes its name from the folder.
  const component = { ...metadata.component, name: 'undrop' };
  const known = [component['bom-ref'], ...refs];
  const bom = {
    ...rest,
    metadata: { ...metadata, component },
    components: components
      .filter((one) => refs.includes(one['bom-ref']))
      .map((one) => ({ ...one, scope: 'required', properties: [] })),
    dependencies: dependencies
      .filter(({ ref }) => known.includes(ref))
      .map(({ ref, dependsOn }) => ({
        ref,
        dependsOn: dependsOn.filter((one) => refs.includes(one)),
      })),
  };
  return `${JSON.stringify(bom, null, 2)}\n`;
}
