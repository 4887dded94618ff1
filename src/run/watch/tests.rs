//! Watches over a store in memory, under a paused clock. What is seen is written down in words.

mod feed;
mod property;
mod single;
mod world;
