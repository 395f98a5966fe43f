/* SPDX-License-Identifier: MIT */

/*
 * The memory clients by number, as the driver of the memory controller names them. The names are those of the hardware's
 * manuals; a number that several generations have is mostly the same client. Source: drivers/memory/tegra/tegra30.c,
 * tegra114.c, tegra124.c and tegra210.c of Linux 7.0.
 */
#include "iommu/hw/tegra.h"

#define ALL	  (TEGRA30 | TEGRA114 | TEGRA124 | TEGRA210)
#define NOT_114	  (TEGRA30 | TEGRA124 | TEGRA210)
#define NOT_210	  (TEGRA30 | TEGRA114 | TEGRA124)
#define FIRST_TWO (TEGRA30 | TEGRA114)
#define LAST_TWO  (TEGRA124 | TEGRA210)
#define NOT_30	  (TEGRA114 | TEGRA124 | TEGRA210)
#define MIDDLE	  (TEGRA114 | TEGRA124)

static const struct {
	uint8_t id;
	uint8_t generations;
	const char *name;
} clients[] = {
	{0x00, ALL, "ptcr"},	      {0x01, ALL, "display0a"},	    {0x02, ALL, "display0ab"},
	{0x03, ALL, "display0b"},     {0x04, ALL, "display0bb"},    {0x05, ALL, "display0c"},
	{0x06, ALL, "display0cb"},    {0x07, TEGRA30, "display1b"}, {0x08, TEGRA30, "display1bb"},
	{0x09, FIRST_TWO, "eppup"},   {0x0a, FIRST_TWO, "g2pr"},    {0x0b, FIRST_TWO, "g2sr"},
	{0x0c, TEGRA30, "mpeunifbr"}, {0x0d, TEGRA30, "viruv"},	    {0x0e, NOT_114, "afir"},
	{0x0f, ALL, "avpcarm7r"},     {0x10, ALL, "displayhc"},	    {0x11, ALL, "displayhcb"},
	{0x12, FIRST_TWO, "fdcdrd"},  {0x13, FIRST_TWO, "fdcdrd2"}, {0x14, FIRST_TWO, "g2dr"},
	{0x15, ALL, "hdar"},	      {0x16, ALL, "host1xdmar"},    {0x17, ALL, "host1xr"},
	{0x18, FIRST_TWO, "idxsrd"},  {0x19, TEGRA30, "idxsrd2"},   {0x1a, TEGRA30, "mpe_ipred"},
	{0x1b, TEGRA30, "mpeamemrd"}, {0x1c, TEGRA30, "mpecsrd"},   {0x1c, MIDDLE, "msencsrd"},
	{0x1c, TEGRA210, "nvencsrd"}, {0x1d, ALL, "ppcsahbdmar"},   {0x1e, ALL, "ppcsahbslvr"},
	{0x1f, NOT_114, "satar"},     {0x20, TEGRA30, "texsrd"},    {0x20, TEGRA114, "texl2srd"},
	{0x21, TEGRA30, "texsrd2"},   {0x22, NOT_210, "vdebsevr"},  {0x23, NOT_210, "vdember"},
	{0x24, NOT_210, "vdemcer"},   {0x25, NOT_210, "vdetper"},   {0x26, NOT_210, "mpcorelpr"},
	{0x27, ALL, "mpcorer"},	      {0x28, FIRST_TWO, "eppu"},    {0x29, FIRST_TWO, "eppv"},
	{0x2a, FIRST_TWO, "eppy"},    {0x2b, TEGRA30, "mpeunifbw"}, {0x2b, MIDDLE, "msencswr"},
	{0x2b, TEGRA210, "nvencswr"}, {0x2c, FIRST_TWO, "viwsb"},   {0x2d, FIRST_TWO, "viwu"},
	{0x2e, FIRST_TWO, "viwv"},    {0x2f, FIRST_TWO, "viwy"},    {0x30, FIRST_TWO, "g2dw"},
	{0x31, NOT_114, "afiw"},      {0x32, ALL, "avpcarm7w"},	    {0x33, FIRST_TWO, "fdcdwr"},
	{0x34, TEGRA30, "fdcdwr2"},   {0x34, TEGRA114, "fdcwr2"},   {0x35, ALL, "hdaw"},
	{0x36, ALL, "host1xw"},	      {0x37, FIRST_TWO, "ispw"},    {0x38, NOT_210, "mpcorelpw"},
	{0x39, ALL, "mpcorew"},	      {0x3a, TEGRA30, "mpecswr"},   {0x3b, ALL, "ppcsahbdmaw"},
	{0x3c, ALL, "ppcsahbslvw"},   {0x3d, NOT_114, "sataw"},	    {0x3e, NOT_210, "vdebsevw"},
	{0x3f, NOT_210, "vdedbgw"},   {0x40, NOT_210, "vdembew"},   {0x41, NOT_210, "vdetpmw"},
	{0x44, LAST_TWO, "ispra"},    {0x46, LAST_TWO, "ispwa"},    {0x47, LAST_TWO, "ispwb"},
	{0x4a, NOT_30, "xusb_hostr"}, {0x4b, NOT_30, "xusb_hostw"}, {0x4c, NOT_30, "xusb_devr"},
	{0x4d, NOT_30, "xusb_devw"},  {0x4e, TEGRA114, "fdcdwr3"},  {0x4e, LAST_TWO, "isprab"},
	{0x4f, TEGRA114, "fdcdrd3"},  {0x50, TEGRA114, "fdcwr4"},   {0x50, LAST_TWO, "ispwab"},
	{0x51, TEGRA114, "fdcrd4"},   {0x51, LAST_TWO, "ispwbb"},   {0x52, TEGRA114, "emucifr"},
	{0x53, TEGRA114, "emucifw"},  {0x54, NOT_30, "tsecsrd"},    {0x55, NOT_30, "tsecswr"},
	{0x56, LAST_TWO, "a9avpscr"}, {0x57, LAST_TWO, "a9avpscw"}, {0x58, LAST_TWO, "gpusrd"},
	{0x59, LAST_TWO, "gpuswr"},   {0x5a, LAST_TWO, "displayt"}, {0x60, LAST_TWO, "sdmmcra"},
	{0x61, LAST_TWO, "sdmmcraa"}, {0x62, LAST_TWO, "sdmmcr"},   {0x63, LAST_TWO, "sdmmcrab"},
	{0x64, LAST_TWO, "sdmmcwa"},  {0x65, LAST_TWO, "sdmmcwaa"}, {0x66, LAST_TWO, "sdmmcw"},
	{0x67, LAST_TWO, "sdmmcwab"}, {0x6c, LAST_TWO, "vicsrd"},   {0x6d, LAST_TWO, "vicswr"},
	{0x72, LAST_TWO, "viw"},      {0x73, LAST_TWO, "displayd"}, {0x78, TEGRA210, "nvdecsrd"},
	{0x79, TEGRA210, "nvdecswr"}, {0x7a, TEGRA210, "aper"},	    {0x7b, TEGRA210, "apew"},
	{0x7e, TEGRA210, "nvjpgsrd"}, {0x7f, TEGRA210, "nvjpgswr"}, {0x80, TEGRA210, "sesrd"},
	{0x81, TEGRA210, "seswr"},    {0x82, TEGRA210, "axiapr"},   {0x83, TEGRA210, "axiapw"},
	{0x84, TEGRA210, "etrr"},     {0x85, TEGRA210, "etrw"},	    {0x86, TEGRA210, "tsecsrdb"},
	{0x87, TEGRA210, "tsecswrb"}, {0x88, TEGRA210, "gpusrd2"},  {0x89, TEGRA210, "gpuswr2"},
};

const char *tegra_client_name(const struct tegra_soc *soc, uint64_t id)
{
	for (unsigned i = 0; i < G_N_ELEMENTS(clients); i++)
		if (clients[i].id == id && clients[i].generations & soc->generation)
			return clients[i].name;
	return "unknown";
}
