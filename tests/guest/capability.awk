# SPDX-License-Identifier: GPL-2.0
# What a kernel gave against what it must give: a line for each difference.
#
#	awk -F , -v kernel=6.1 -v arch=amd64 -f capability.awk capability.expected \
#		capability.csv
#
# capability.expected says how its lines are read.

function version(text, part) {
	split(text, part, ".")
	return part[1] * 1000 + part[2]
}

function fits(pattern, text) {
	return pattern == "*" || pattern == text
}

# expected(SOURCE, PROPERTY): of the lines that apply, the last one's value
function expected(s, property, i, f, want) {
	want = ""
	for (i = 1; i <= lines; i++) {
		split(line[i], f, ",")
		if (f[1] == s[1] && f[2] == s[2] && fits(f[3], s[3]) && f[4] == property)
			want = f[8]
	}
	return want
}

/^#/ || /^$/ || /^provider,/ { next }

FNR == NR {
	if (NF != 8)
		print FILENAME ":" FNR ": expected 8 columns, got " NF
	else if (fits($5, arch) && ($6 == "*" || version($6) <= version(kernel)) &&
		 ($7 == "*" || version($7) >= version(kernel)))
		line[++lines] = $0
	next
}

{
	source = $1 "," $2 "," $3
	sources[source]
	properties[$6]
	got[source, $6] = $7
	detail[source, $6] = $8 == "" ? "" : " (" $8 ")"
}

END {
	# What is expected must be there
	for (i = 1; i <= lines; i++) {
		split(line[i], f, ",")
		properties[f[4]]
		if (f[3] != "*")
			sources[f[1] "," f[2] "," f[3]]
	}
	for (source in sources) {
		split(source, s, ",")
		for (property in properties) {
			want = expected(s, property)
			# Of what is not there, nothing else is said
			if (property != "available" && expected(s, "available") == "unavailable")
				want = ""
			have = (source, property) in got ? got[source, property] : ""
			checked += have != ""
			if (want == have || (want == "any" && have != ""))
				continue
			print kernel " " arch ": " source ": " property ": expected " \
				(want == "" ? "no row" : want) ", got " \
				(have == "" ? "no row" : have) detail[source, property]
		}
	}
	if (!checked)
		print kernel " " arch ": nothing was observed"
}
