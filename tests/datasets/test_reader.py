def test_x(small_build): 
    s=small_build.open(); print(len(s), s.manifest.games, s.table.clips, s.shard_names, len(small_build.open("val")))
    assert s.table.xy_px.shape
