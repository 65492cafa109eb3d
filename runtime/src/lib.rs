//! Tasks, actors, objects and compiled graphs at hardware speed.
