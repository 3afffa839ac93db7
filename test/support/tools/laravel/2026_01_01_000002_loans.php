<?php

use Illuminate\Database\Capsule\Manager as Capsule;
use Illuminate\Database\Migrations\Migration;
use Illuminate\Database\Schema\Blueprint;

return new class extends Migration {
  public function up(): void {
    Capsule::schema()->create('loans', function (Blueprint $table) {
      $table->id();
      $table->foreignId('book_id')->constrained()->cascadeOnDelete();
    });
    Capsule::schema()->table('books', fn(Blueprint $table) => $table->decimal('price', 9, 2)->nullable());
    Capsule::connection()->statement('CREATE VIEW titles AS SELECT title FROM books');
  }

  public function down(): void {
    Capsule::connection()->statement('DROP VIEW titles');
    Capsule::schema()->dropColumns('books', 'price');
    Capsule::schema()->dropIfExists('loans');
  }
};
