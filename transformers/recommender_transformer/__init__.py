"""The online funnel, served by KServe."""
