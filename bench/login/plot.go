package main

import (
	"fmt"
	"math"
	"os"
	"strconv"
	"strings"
	"time"
)

// curve is a line of a plot.
type curve struct {
	name    string
	second  bool // colour
	dashed  bool
	latency *histogram
}

// The plot, in its own units. Percentiles are on a scale of how rare what lies beyond is, times on a logarithmic one.
const (
	plotWidth, plotHeight           = 760, 460
	plotLeft, plotRight             = 70, 20
	plotTop, plotBottom             = 84, 60 // above is room for the title and two lines of names
	plotInnerWidth, plotInnerHeight = plotWidth - plotLeft - plotRight, plotHeight - plotTop - plotBottom
)

// style makes the plot readable on light and on dark pages.
const style = `<style>
text { font: 13px system-ui, sans-serif; fill: #333 }
.title { font-size: 15px; font-weight: 600 }
.grid { stroke: #8884; stroke-width: 1 }
.line { fill: none; stroke-width: 2 }
.a { stroke: #0969da } .b { stroke: #bc4c00 }
.dashed { stroke-dasharray: 5 4 }
@media (prefers-color-scheme: dark) {
text { fill: #ddd }
.a { stroke: #58a6ff } .b { stroke: #f0883e }
}
</style>
`

// writePlot writes the times that shares of logins did not exceed, as SVG.
func writePlot(path, title string, curves []curve) error {
	return os.WriteFile(path, []byte(plot(title, curves)), 0o644)
}

func plot(title string, curves []curve) string {
	least, most := time.Duration(math.MaxInt64), time.Duration(1)
	rarest := 1.0 // of what is shown: ten logins lie beyond it
	for _, c := range curves {
		least = min(least, c.latency.percentile(0.01))
		rarest = min(rarest, 10/float64(max(c.latency.count(), 20)))
	}
	for _, c := range curves {
		most = max(most, c.latency.percentile(1-rarest))
	}
	low, high := math.Floor(3*math.Log10(float64(least)))/3, math.Ceil(3*math.Log10(float64(most)))/3
	x := func(beyond float64) float64 {
		return plotLeft + plotInnerWidth*math.Log10(beyond)/math.Log10(rarest)
	}
	y := func(d time.Duration) float64 {
		return plotTop + plotInnerHeight*(1-(math.Log10(float64(max(d, 1)))-low)/(high-low))
	}

	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" role="img" aria-label="%s">`+"\n", plotWidth, plotHeight, title)
	b.WriteString(style)
	fmt.Fprintf(&b, `<text class="title" x="%d" y="20">%s</text>`+"\n", plotLeft, title)
	for _, share := range []string{"0", "50", "90", "99", "99.9", "99.99", "99.999"} {
		percent, _ := strconv.ParseFloat(share, 64)
		beyond := 1 - percent/100
		if beyond < rarest {
			break
		}
		fmt.Fprintf(&b, `<path class="grid" d="M%.1f %d V%d"/><text x="%.1f" y="%d" text-anchor="middle">%s</text>`+"\n",
			x(beyond), plotTop, plotTop+plotInnerHeight, x(beyond), plotTop+plotInnerHeight+18, share+" %")
	}
	for _, tick := range ticks(low, high) {
		fmt.Fprintf(&b, `<path class="grid" d="M%d %.1f H%d"/><text x="%d" y="%.1f" text-anchor="end">%s</text>`+"\n",
			plotLeft, y(tick), plotLeft+plotInnerWidth, plotLeft-8, y(tick)+4, tick)
	}
	for i, c := range curves {
		class := "line a"
		if c.second {
			class = "line b"
		}
		if c.dashed {
			class += " dashed"
		}
		var d strings.Builder
		const steps = 200
		for step := range steps + 1 {
			beyond := math.Pow(rarest, float64(step)/steps)
			fmt.Fprintf(&d, "%c%.1f %.1f", "ML"[min(step, 1)], x(beyond), y(c.latency.percentile(max(1-beyond, 0.01))))
		}
		fmt.Fprintf(&b, `<path class="%s" d="%s"/>`+"\n", class, &d)
		left, top := plotLeft+i/2*340, 46+i%2*20
		fmt.Fprintf(&b, `<path class="%s" d="M%d %d h28"/><text x="%d" y="%d">%s</text>`+"\n", class, left, top-4, left+36, top, c.name)
	}
	fmt.Fprintf(&b, `<text x="%d" y="%d" text-anchor="middle">this share of the logins took no longer</text>`+"\n</svg>\n",
		plotLeft+plotInnerWidth/2, plotHeight-16)
	return b.String()
}

// ticks are the times 1, 2 and 5 times a power of ten between two decimal logarithms of nanoseconds.
func ticks(low, high float64) (ticks []time.Duration) {
	for power := math.Floor(low); power <= high; power++ {
		for _, digit := range []float64{1, 2, 5} {
			if v := digit * math.Pow(10, power); math.Log10(v) >= low && math.Log10(v) <= high {
				ticks = append(ticks, time.Duration(v))
			}
		}
	}
	return ticks
}
