<?php
// Finds the classes of Debian's PHP packages in a private root: their own autoloaders name
// /usr/share/php. A class is in the folder of its name there, but that Laravel's Support is in four.
spl_autoload_register(function (string $class): void {
  $file = strtr($class, '\\', '/') . '.php';
  $support = 'Illuminate/Support/';
  $files = [$file];
  if (str_starts_with($file, $support)) {
    foreach (['Collections', 'Macroable', 'Conditionable'] as $folder) {
      $files[] = "Illuminate/$folder/" . substr($file, strlen($support));
    }
  }
  foreach ($files as $one) {
    $path = getenv('PHP_SHARE') . "/$one";
    if (is_file($path)) {
      require $path;
      return;
    }
  }
});
