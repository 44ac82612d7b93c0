//! Tests that change the machine and give back what they took.
//!
//! A program of its own, for cargo runs one after the other: no other test sees the machine meanwhile.

mod huge_pages;
