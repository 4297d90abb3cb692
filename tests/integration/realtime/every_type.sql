insert into ty (
    id, bigi, num, numnan, f4, f8, finf, bo, tx, vc, ch, u, da, tm, tmz, ts, tsz, iv, js, jsb, by, ta, ia, na, jsa, tsa, en,
    ena, dom, ip, pt, rng, ms, bt, xmlx, hs, "Mixed Case"
) values (
    9007199254740993, 9223372036854775807, 12345.6700, 'NaN', 0.1, 0.1, 'Infinity', true, E'é\u2028 "q" \\ \n', 'vc', 'ch',
    '11111111-1111-1111-1111-111111111111', '2026-01-02', '03:04:05.6', '03:04:05+09', '2026-01-02 03:04:05.123456',
    '2026-01-02 03:04:05.123456+09', '1 day 02:03:04', '{"b":1,"a":2}', '{"b":1,"a":2.50}', '\xdeadbeef', '{a,NULL,"b,c"}',
    '{1,NULL,3}', '{1.10,2}', array['{"x":1}'::jsonb], '{"2026-01-02 03:04:05+09"}', 'ok', '{sad,ok}', 5, '10.0.0.1/8',
    '(1,2)', '[1,5)', 12.50, b'101', '<a>1</a>', 'fat cat', 'mc'
)
