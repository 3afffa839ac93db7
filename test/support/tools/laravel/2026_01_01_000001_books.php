<?php

use Illuminate\Database\Capsule\Manager as Capsule;
use Illuminate\Database\Migrations\Migration;
use Illuminate\Database\Schema\Blueprint;

return new class extends Migration {
  public function up(): void {
    Capsule::schema()->create('authors', function (Blueprint $table) {
      $table->id();
      $table->string('name')->unique();
    });
    Capsule::schema()->create('books', function (Blueprint $table) {
      $table->id();
      $table->foreignId('author_id')->constrained();
      $table->string('title')->index();
    });
  }

  public function down(): void {
    Capsule::schema()->dropIfExists('books');
    Capsule::schema()->drop('authors');
  }
};
